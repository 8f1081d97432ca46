"""Flower's SuperNode with the guard around it: what comes in, what goes out, what a broken line does. It imports site
and below.
"""
