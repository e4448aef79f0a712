"""The flow end to end, on a small generated market behind a real HTTP server."""

import re
from pathlib import Path

import pytest

from gnn_trainer.artifact import load_model
from gnn_trainer.config import TrainConfig
from gnn_trainer.errors import ServiceError

FETCHING = ("fetch_klines", "fetch_order_book", "fetch_funding")
LEARNING = ("train_model", "evaluate_model", "upload_model")
EVERYTHING = (*FETCHING, "load_relations", "build_features", "assemble_graph", *LEARNING)
