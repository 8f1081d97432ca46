"""What every ring knows: recordings, features, the model, its training and its measures. Never flwr."""
