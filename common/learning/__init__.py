"""A model's training at one place, its measures, and the file it is kept in. It imports data, models and below."""
