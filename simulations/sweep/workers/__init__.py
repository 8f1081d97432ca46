"""Who does a sweep's parts: processes of this machine, or Ray's. It imports ``common``."""
