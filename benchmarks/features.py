"""Features against pandas groupby-rolling and polars: `python -m benchmarks.features`.

All three compute every feature of the registry with the default windows from the same bars; each
gets them in the layout that suits it before the clock starts, and may keep its own layout: pandas
and polars long tables sorted by symbol and time with one column per feature, ours wide arrays.
"""

import tempfile
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.feature_peers import (
    CONFIG,
    pandas_table,
    polars_table,
    random_market,
    with_pandas,
    with_polars,
)
from benchmarks.figures import Figure, main
from benchmarks.side_by_side import Contestant, beside, in_turns, peak_growth_mb
from gnn_trainer.features.build import BLOCK_BARS, build_features
from gnn_trainer.features.registry import feature_names

NUM_SYMBOLS, NUM_BARS, SMALL_BARS, WIDE_SYMBOLS = 100, 10_000, 2_500, 500
BARS_OF_A_YEAR = 365 * 288


def work_of_pandas(num_bars: int, num_symbols: int) -> Callable[[], object]:
    return partial(with_pandas, pandas_table(num_bars, num_symbols))


def work_of_polars(num_bars: int, num_symbols: int) -> Callable[[], object]:
    return partial(with_polars, polars_table(num_bars, num_symbols))


def our_work(num_bars: int, num_symbols: int, folder: Path | None = None) -> Callable[[], object]:
    """What a process loads once, numba and its machine code, is loaded."""
    build_features(random_market(num_bars=10, num_symbols=2), CONFIG)
    return partial(build_features, random_market(num_bars, num_symbols), CONFIG, folder)


def bytes_of_bars(num_symbols: int) -> float:
    """Memory that one bar of one symbol takes in a MarketFrame."""
    frame = random_market(10, num_symbols)
    arrays = (getattr(frame, field.name) for field in fields(frame))
    return sum(array.nbytes for array in arrays if isinstance(array, np.ndarray)) / (
        10 * num_symbols
    )


def copying(num_bars: int, num_symbols: int) -> Callable[[], object]:
    """What no builder of float32 features can beat: writing as many values once."""
    x_TNF = np.ones((num_bars, num_symbols, len(feature_names())), np.float32)
    return x_TNF.copy


def equal_share(num_bars: int, num_symbols: int) -> float:
    """Share of all values, in percent, on which ours and pandas agree.

    Both absent, or no further apart than 1e-5 of the feature's standard deviation. The rest are
    ranks of two symbols that float32 cannot tell apart.
    """
    ours = build_features(random_market(num_bars, num_symbols), CONFIG)
    theirs = with_pandas(pandas_table(num_bars, num_symbols)).to_numpy()
    theirs_TNF = theirs.reshape(num_symbols, num_bars, -1).transpose(1, 0, 2)
    deviation_F = np.nanstd(theirs_TNF, axis=(0, 1)) + 1e-12
    close_TNF = np.isclose(ours.x_TNF / deviation_F, theirs_TNF / deviation_F, rtol=0.0, atol=1e-5)
    absent_TNF = np.isnan(ours.x_TNF) & np.isnan(theirs_TNF)
    return 100.0 * float((close_TNF | absent_TNF).mean())


def lines(small: bool) -> list[Figure]:
    num_bars = SMALL_BARS if small else NUM_BARS
    size = num_bars, NUM_SYMBOLS
    rows = num_bars * NUM_SYMBOLS
    wide = max(num_bars // 5, 1000), WIDE_SYMBOLS
    contestants = (
        Contestant("ours", partial(our_work, *size)),
        Contestant("pandas", partial(work_of_pandas, *size)),
        Contestant("polars", partial(work_of_polars, *size)),
        Contestant("copy", partial(copying, *size)),
        Contestant("wide", partial(our_work, *wide)),
    )
    costs = in_turns(contestants)
    growth_mb = {rival.name: peak_growth_mb(rival) for rival in contestants[:3]}
    folder = Path(tempfile.gettempdir())
    filed = Contestant("filed", partial(our_work, 4 * BLOCK_BARS, WIDE_SYMBOLS, folder))
    bars_gb = bytes_of_bars(WIDE_SYMBOLS) * WIDE_SYMBOLS * BARS_OF_A_YEAR / 2**30
    block_gb = peak_growth_mb(filed) / 1024
    ours, output_mb = costs["ours"], rows * len(feature_names()) * 4 / 2**20
    what = f"features, {NUM_SYMBOLS} symbols x {num_bars} bars"

    def over(name: str) -> float:
        return costs[name].cpu_s / ours.cpu_s

    return [
        Figure(
            f"{what}: CPU of pandas groupby-rolling over ours", over("pandas"), "x", 7.0, 20.0,
            note=beside(costs["pandas"], ours),
        ),
        Figure(
            f"{what}: CPU of polars (lazy, over) over ours", over("polars"), "x",
            note=beside(costs["polars"], ours),
        ),
        Figure(
            f"{what}: values equal to those of pandas", equal_share(*size), "%", 99.99,
            note=f"all {len(feature_names())} features, to 1e-5 of their deviation",
        ),
        Figure(f"{what}: ours, rows per CPU-second", rows / ours.cpu_s / 1e6, "M/s"),
        Figure(
            f"{what}: CPU of copying the output over ours", 100.0 * over("copy"), "%",
            note="the limit of any builder",
        ),
        Figure(
            f"{what}: ours, peak memory above the bars", growth_mb["ours"], "MB",
            more_is_better=False,
            note=f"output {output_mb:.0f}; pandas {growth_mb['pandas']:.0f}, "
            f"polars {growth_mb['polars']:.0f}",
        ),
        Figure(
            f"features, {wide[1]} symbols x {wide[0]} bars: ours, rows per CPU-second",
            wide[0] * wide[1] / costs["wide"].cpu_s / 1e6, "M/s",
        ),
        Figure(
            f"features, {WIDE_SYMBOLS} symbols x {BARS_OF_A_YEAR} bars (5m, a year): memory",
            bars_gb + block_gb, "GB", 8.0, more_is_better=False,
            note=f"{bars_gb:.2f} of bars, computed, and {block_gb:.2f}, measured: it is the same "
            "for any number of bars when features go to a file",
        ),
    ]  # fmt: skip


if __name__ == "__main__":
    main(lines)
