"""Streams and files heard in processes of their own, in place of threads; imports ``recogniser.service``."""
