"""``fedser audit``: the attacks of ``common.privacy.audits`` on the federation that a run's folder describes."""
