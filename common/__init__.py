"""What every ring knows: recordings, features, the model, its training, its measures and its privacy. It imports no
other ring, and flwr in ``common.flower`` alone.
"""
