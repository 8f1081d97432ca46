"""The corpora: a module each, with the same verbs ``load(root)`` and ``cite()`` and the same constants; ``catalogue``
has them by name. It imports audio and below.
"""
