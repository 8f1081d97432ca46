"""Noise that sites share: a sum of clipped gradients as whole numbers, with a part of the noise in each site's.

It may import ``common.privacy`` and what lies below.
"""
