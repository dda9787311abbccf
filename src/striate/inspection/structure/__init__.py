"""The architecture of a network, layer by layer."""
