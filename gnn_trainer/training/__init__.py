"""Fitting a network: batches, loss, optimisation, checkpoints."""
