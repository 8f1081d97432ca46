"""A site's account of every noisy step, on the site's own disk. It imports accounting, storage and below."""
