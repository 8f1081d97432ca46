"""Training in rounds: screening, averaging, choosing the model, scoring it once. It imports records and below."""
