"""A site's own part in a secure sum, outside of the bundle: its keys, its rules, its masks, and what it did already.

It imports gate.
"""
