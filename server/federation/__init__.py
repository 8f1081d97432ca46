"""The coordinator of a deployment: its folder, its service, its runs, and how they are watched. It imports the other
wings of ``server``.
"""
