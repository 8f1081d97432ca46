"""The coordinator's folder: authority, certificates, registry, kits. It imports ``common``."""
