"""Attacks on a federation, which measure what leaks; each a pure function of scores, updates or a model. It imports
``common``.
"""
