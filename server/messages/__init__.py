"""Messages to the sites and back: sent, awaited, read without trust. It imports run."""
