"""The coordinator: rounds, strategies, the held-out score, ``result.json`` and the report. It imports ``common``."""
