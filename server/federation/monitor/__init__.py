"""The federation at a glance: terminal, page, metrics. It imports runs, service and folder."""
