"""The coordinator's side of secure sums: masked words added, and taken off what hides their sum.

It imports messages and sites.
"""
