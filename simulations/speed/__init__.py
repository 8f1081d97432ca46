"""``fedser bench``: the claims about speed, each measured by a ``run``. It imports sweep, engine and below."""
