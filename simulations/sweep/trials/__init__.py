"""The trials of a sweep: conditions, their parts of work, a line of results each. It imports workers, audits and
engine.
"""
