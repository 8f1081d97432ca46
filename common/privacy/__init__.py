"""Differential privacy at a site: the recipe, the terms, the mechanism, private training. It imports learning and
below.
"""
