"""A run killed at any point leaves a whole store, and the next run goes on where it was."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gnn_trainer.market.history import History
from tests.market.fill_until_killed import BARS, PAGE, SOURCE, SYMBOLS, exchange_rows
from tests.market.market_tables import HOUR, JANUARY

END = JANUARY + BARS * HOUR
PAGES_IN_MEMORY = 64


def run_child(root: Path, steps: int) -> tuple[int, int]:
    """(exit code, pages the child was given)."""
    repository = Path(__file__).parents[2]
    child = subprocess.run(
        [sys.executable, "-m", "tests.market.fill_until_killed", root, str(steps)],
        env={**os.environ, "PYTHONPATH": str(repository)},
        cwd=repository,
        stdout=subprocess.PIPE,
        check=False,
    )
    return child.returncode, child.stdout.count(b"page")


def stored_bars(history: History) -> int:
    """How many bars are stored; every one of them must be a bar the exchange sent."""
    count = 0
    for symbol in SYMBOLS:
        found = history.read_klines(SOURCE, "1h", symbol, JANUARY, END)
        truth = exchange_rows(symbol)
        assert found.equals(truth.join(found.select("open_time"), on="open_time", how="semi"))
        count += found.height
    return count


@pytest.mark.parametrize("seed", [1, 2])
def test_runs_killed_again_and_again_complete_to_what_the_exchange_has(
    tmp_path: Path, seed: int
) -> None:
    history = History(tmp_path / "history")
    draw = random.Random(seed)
    code, kills, before = -signal.SIGKILL, 0, 0
    while code:
        # Late in the life of the test let the child live, so that it ends whatever was drawn.
        code, pages = run_child(history.root, draw.randrange(5, 200) if kills < 6 else 0)
        assert code in (0, -signal.SIGKILL)
        kills += code != 0
        now = stored_bars(history)
        assert now >= before + (pages - PAGES_IN_MEMORY - len(SYMBOLS)) * PAGE
        before = now
    assert kills >= 3
    for symbol in SYMBOLS:
        found = history.read_klines(SOURCE, "1h", symbol, JANUARY, END)
        assert found.equals(exchange_rows(symbol))
    assert history.missing_klines(SOURCE, "1h", SYMBOLS, JANUARY, END) == []
