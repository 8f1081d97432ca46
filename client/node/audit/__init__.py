"""The site's audit log, and what the site remembers by it of what it was asked and told. It imports gate and policy."""
