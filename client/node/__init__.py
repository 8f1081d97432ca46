"""A site's own process, outside the app bundle: policy, gate and audit log, which no server can replace. It imports
``common``, and of the app nothing but its dry run's.
"""
