"""One site of the federation: it answers the server's messages from its own recordings. It imports ``common``."""
