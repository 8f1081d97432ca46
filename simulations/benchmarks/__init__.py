"""Measurements of speed and of what things cost, each with a ``run`` that returns what ``fedser bench`` prints."""
