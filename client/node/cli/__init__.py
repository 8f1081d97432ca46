"""The commands of a site; what they need is imported inside them. It imports every wing of the node."""
