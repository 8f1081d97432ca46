"""The messages between server and sites, declared once: ``schema`` is the protocol's reference, ``fields`` the check.

Server and sites each run their own copy of it; it imports strategies, config and below, and nothing of Flower.
"""
