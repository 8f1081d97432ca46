"""Flower's records and whatever of Flower is not public, so that its next release touches few files. The only place of
``common`` that imports flwr.
"""
