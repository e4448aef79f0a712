"""gnn-trainer: from a crypto market to a trained, honestly judged graph neural network."""

__version__ = "0.1.0"
