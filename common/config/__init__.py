"""Every setting of a run, with its default and its range. It imports nothing of fedser but errors and checks of
arguments.
"""
