"""From a signal to frames of features, and their cache on disk. It imports config, storage and below."""
