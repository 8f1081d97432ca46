"""What a site agrees to: ``policy.toml``, its clauses and bounds. It imports ``common``."""
