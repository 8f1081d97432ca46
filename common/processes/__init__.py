"""Worker processes that start warm and end with whoever started them; cores and a home that are there.

It imports nothing of fedser but errors.
"""
