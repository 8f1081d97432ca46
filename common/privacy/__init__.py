"""Differential privacy: the private layer, the mechanism, the accountants, the ledger, the audits."""
