"""The benchmark: what privacy costs in accuracy, as a sweep of trials, their statistics, and a page. It imports job,
audits and below.
"""
