"""Recordings as normalised features, in memory, in batches. It imports curation, splits, features and below."""
