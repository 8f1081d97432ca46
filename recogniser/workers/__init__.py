"""Streams and files heard in processes of their own, each on a core, not in a thread; imports ``recogniser.service``."""
