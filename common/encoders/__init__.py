"""Public speech encoders, frozen, read from files that somebody downloaded: what each layer makes of a sound.
It imports nothing of fedser but errors, checks of arguments and storage.
"""
