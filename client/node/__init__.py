"""A site's own process, outside the app bundle: policy, gate and audit log, which no server can replace."""
