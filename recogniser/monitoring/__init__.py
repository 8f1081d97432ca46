"""How a model does day by day, from scores alone: a log without sound, its figures, and what broke when."""
