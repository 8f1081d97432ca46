"""Gradients one a unit: the private LSTM and its recurrence. It imports learning and below."""
