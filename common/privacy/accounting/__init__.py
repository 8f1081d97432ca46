"""What noisy steps cost: PRV and RDP, and the noise that a target takes. It imports nothing of fedser but units and
checks of arguments.
"""
