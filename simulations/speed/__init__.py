"""``fedser bench``: speed and short windows, each claim measured by a ``run``. It imports sweep, engine and below."""
