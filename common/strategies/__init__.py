"""The strategies: what each sends beside the model, what a site does in a step, and what each side remembers.

Functions over arrays and tensors, without Flower; NumPy and torch are not imported, for the command line lists
strategies. It imports ``common.protocol`` alone.
"""
