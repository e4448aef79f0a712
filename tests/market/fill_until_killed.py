"""Fills a history as a run does, and kills itself before the n-th step of writing files.

    python -m tests.market.fill_until_killed <root> <n; 0 = live on>

A step is any call of the system: open, write, flush, fsync, rename, lock.

Prints a line per page that it was given.
"""

import os
import signal
import sys
from pathlib import Path
from types import FrameType

import polars as pl

from gnn_trainer.market import durable
from gnn_trainer.market.history import History
from tests.market.market_tables import HOUR, JANUARY, candles

SOURCE, SYMBOLS, BARS, PAGE = "binance-usdm", ("BTCUSDT", "ETHUSDT", "XRPUSDT"), 900, 12


def exchange_rows(symbol: str) -> pl.DataFrame:
    """What the exchange has: bars over a month's end, with a hole."""
    table = candles(start=JANUARY, count=BARS, seed=SYMBOLS.index(symbol))
    return pl.concat([table[:400], table[410:]])


def fill(history: History) -> None:
    span = (JANUARY, JANUARY + BARS * HOUR)
    requests = history.missing_klines(SOURCE, "1h", SYMBOLS, *span)
    with history.kline_pages(SOURCE, "1h") as on_page:
        for request in requests:
            time = pl.col("open_time")
            rows = exchange_rows(request.symbol).filter(
                time.is_between(request.start_ms, request.end_ms, closed="left")
            )
            for page in rows.iter_slices(PAGE):
                on_page(request.symbol, page)
                os.write(1, b"page\n")
    history.confirm_klines(SOURCE, "1h", requests)


def kill_at_step(steps: int) -> None:
    """SIGKILL before the `steps`-th thing that the writing code does: nothing can clean up."""
    left = steps

    def profile(frame: FrameType, event: str, called: object) -> None:
        nonlocal left
        if event == "c_call" and frame.f_code.co_filename == durable.__file__:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(profile)


if __name__ == "__main__":
    kill_at_step(int(sys.argv[2]))
    fill(History(Path(sys.argv[1])))
