"""Runs that cannot end well, or do not end at all."""

from pathlib import Path

TRAIN = Path(__file__).resolve().parents[2] / "flows" / "train.py"
NOBODY = "http://127.0.0.1:9"  # the discard port: nothing answers
