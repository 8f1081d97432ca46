"""The coordinator's side of a secure sum: masked words added, and taken off what hides their sum.

It imports nothing of the server.
"""
