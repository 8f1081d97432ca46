"""Recordings and matrices from disk as arrays, and altered copies of them. It imports config and below."""
