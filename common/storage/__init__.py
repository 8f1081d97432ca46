"""Files that survive a crash and show an edit: whole or not at all, hash chains, fingerprints. It imports nothing of
fedser but errors and checks of arguments.
"""
