"""The outbound gate: what may leave, made anew value by value, and accounted for where it is private.

It imports policy.
"""
