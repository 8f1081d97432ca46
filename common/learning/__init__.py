"""The model, its training at one place, its measures, and the file it is kept in. It imports data and below."""
