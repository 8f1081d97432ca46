"""The coordinator's commands; what they need is imported inside them. It imports every wing of the federation."""
