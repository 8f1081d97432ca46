"""What was recognised in a recording, as the files that other programs read: one module a format, each with ``write``.

The same result gives the same bytes. Nothing is imported but the standard library.
"""
