"""The network, its layers, and the baselines it must beat."""
