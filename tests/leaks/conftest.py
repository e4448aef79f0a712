"""One honest run for all tests of this folder."""

import pytest

from gnn_trainer.evaluation.audit import Subject
from gnn_trainer.market.history import History
from tests.leaks.small_run import made_of, stored_market


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> History:
    return stored_market(tmp_path_factory.mktemp("market"))


@pytest.fixture(scope="session")
def honest(stored: History) -> Subject:
    return made_of(stored)
