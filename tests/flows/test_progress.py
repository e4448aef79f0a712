"""Progress on terminals and in logs."""

import io
import logging

import pytest
from rich.console import Console
from rich.progress import Progress as Bars

from flows.progress import LogLines, TerminalBars, describe, shown_progress
from gnn_trainer.progress import Progress


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_figures_are_described_in_the_order_they_were_given() -> None:
    progress = Progress("train", 3, 10, {"epoch": 3, "loss": 0.912345, "symbol": "BTCUSDT"})

    assert describe(progress) == "epoch 3, loss 0.9123, symbol BTCUSDT"


def test_a_log_gets_a_line_every_few_seconds_and_the_last_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    lines = LogLines(clock)

    with caplog.at_level(logging.INFO, "gnn_trainer"):
        for second in range(12):
            clock.now_s = float(second)
            lines(Progress("fetch", second, 11, {"rows": second}))

    assert [record.getMessage() for record in caplog.records] == [
        "fetch 45 %: rows 5",
        "fetch 91 %: rows 10",
        "fetch 100 %: rows 11",
    ]


def test_a_stage_that_is_soon_over_has_no_lines(caplog: pytest.LogCaptureFixture) -> None:
    lines = LogLines(Clock())

    with caplog.at_level(logging.INFO, "gnn_trainer"):
        lines(Progress("fetch", 0, 10))
        lines(Progress("fetch", 10, 10))

    assert not caplog.records


def test_long_times_are_whole_seconds() -> None:
    assert describe(Progress("train", 3, 10, {"eta_s": 15234.56})) == "eta_s 15,235"


def test_stages_do_not_share_their_seconds(caplog: pytest.LogCaptureFixture) -> None:
    lines = LogLines(Clock())

    with caplog.at_level(logging.INFO, "gnn_trainer"):
        lines(Progress("fetch", 1, 10))
        lines(Progress("train", 1, 10))

    assert len(caplog.records) == 2


def test_a_terminal_gets_one_bar_per_stage() -> None:
    with Bars(console=Console(file=io.StringIO(), force_terminal=True)) as bars:
        show = TerminalBars(bars)
        show(Progress("fetch", 5, 10, {"rows": 500}))
        show(Progress("train", 1, 4))
        show(Progress("fetch", 10, 10, {"rows": 1000}))

        assert [(row.description, row.completed, row.total) for row in bars.tasks] == [
            ("fetch", 10, 10),
            ("train", 1, 4),
        ]


@pytest.mark.parametrize(("is_terminal", "kind"), [(True, TerminalBars), (False, LogLines)])
def test_bars_are_for_terminals_only(is_terminal: bool, kind: type) -> None:
    console = Console(file=io.StringIO(), force_terminal=is_terminal)

    with shown_progress(console) as on_progress:
        assert isinstance(on_progress, kind)
