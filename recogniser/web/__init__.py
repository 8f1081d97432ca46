"""A service over HTTP and WebSockets, with its page, and ``fedser serve``; imports ``recogniser.service``."""
