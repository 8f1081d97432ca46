"""The strategies: what each sends beside the model, what a site does in a step, and what each side remembers.

Functions over arrays and tensors; nothing of Flower, and torch is not imported: the command line lists the strategies.
"""
