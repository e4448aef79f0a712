"""The fingerprint follows the content, not the memory layout or the process."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gnn_trainer.market.assembly import load_frame
from gnn_trainer.market.fingerprint import frame_fingerprint
from gnn_trainer.market.frame import MarketFrame
from gnn_trainer.market.history import History
from tests.market.market_tables import HOUR, JANUARY, candles

PROGRAM = """
import sys
from pathlib import Path
from tests.market.test_fingerprint import load, frame_fingerprint
print(frame_fingerprint(load(Path(sys.argv[1]))))
"""


def load(root: Path) -> MarketFrame:
    end = JANUARY + 30 * HOUR
    frame, _ = load_frame(History(root), "binance-usdm", "1h", ["A", "B"], JANUARY, end)
    return frame


@pytest.fixture
def frame(tmp_path: Path) -> MarketFrame:
    history = History(tmp_path)
    history.upsert_klines("binance-usdm", "1h", "A", candles(count=30))
    history.upsert_klines("binance-usdm", "1h", "B", candles(count=20))
    return load(tmp_path)


def test_another_process_that_stored_in_other_pieces_agrees(
    frame: MarketFrame, tmp_path: Path
) -> None:
    other = History(tmp_path / "other")
    for start in range(0, 30, 7):
        other.upsert_klines("binance-usdm", "1h", "B", candles(count=20)[start : start + 7])
        other.upsert_klines("binance-usdm", "1h", "A", candles(count=30)[start : start + 7])
    child = subprocess.run(
        [sys.executable, "-c", PROGRAM, other.root],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=True,
        text=True,
    )
    assert child.stdout.strip() == frame_fingerprint(frame)


def test_memory_layout_and_kind_of_nan_do_not_matter(frame: MarketFrame) -> None:
    other_nan = np.array([0xFFF8000000000001], dtype=np.uint64).view(np.float64)[0]
    close_TN = np.asfortranarray(np.where(np.isnan(frame.close_TN), other_nan, frame.close_TN))
    assert frame_fingerprint(replace(frame, close_TN=close_TN)) == frame_fingerprint(frame)


def test_every_part_of_the_content_counts(frame: MarketFrame) -> None:
    one_price = frame.close_TN.copy()
    one_price[3, 0] = np.nextafter(one_price[3, 0], np.inf)
    variants = [
        frame,
        frame.bars(0, 29),
        replace(frame, symbols=("A", "C")),
        replace(frame, interval_ms=HOUR // 2),
        replace(frame, close_TN=one_price),
        replace(frame, open_TN=frame.close_TN, close_TN=frame.open_TN),
        replace(frame, valid_TN=~frame.valid_TN),
        replace(frame, open_time_T=frame.open_time_T + 1),
    ]
    assert len({frame_fingerprint(variant) for variant in variants}) == len(variants)
