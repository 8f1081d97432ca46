"""Streams heard in processes of their own, each on a core, in place of a thread; imports ``recogniser.service``."""
