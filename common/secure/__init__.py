"""Secure sums, as sites and coordinator both know them: words, masks, shares, the roster, how a sum is opened.

It imports storage, errors and deployment. What hides what from whom stands in ``common.secure.pair_masks``.
"""
