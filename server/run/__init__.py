"""A run on disk: its checkpoint, its events, its log, where its files lie. It imports ``common``."""
