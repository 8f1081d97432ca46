"""``fedser audit``: the attacks on the federation that a run's folder describes.

It imports engine and its own attacks.
"""
