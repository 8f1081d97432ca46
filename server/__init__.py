"""The coordinator: rounds, strategies, the held-out score and the report. It never sees a recording of a site."""
