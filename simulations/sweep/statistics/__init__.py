"""From a benchmark's lines to figures with intervals that take the speakers as the sample. It imports trials."""
