"""What every test may ask for: recorded market data, and an environment without our variables."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from gnn_trainer.machine import settle_process

settle_process()  # as the flow does, and before torch is loaded

settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def recorded_data() -> Path:
    """Folder of recorded market data, kept beside the repository and never inside it."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("GNN_TRAINER_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no recorded market data in {folder}; set GNN_TRAINER_DATA to its folder")
    return folder
