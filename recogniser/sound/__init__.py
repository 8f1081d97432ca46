"""Sound in blocks: decoded, resampled, and told apart into speech and the rest."""
