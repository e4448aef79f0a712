"""The dynamic graph against a loop of np.corrcoef and argpartition: `python -m benchmarks.graph`.

Both draw as many snapshots, one every `refresh_bars`. The loop correlates the last bars of each
snapshot anew and keeps the strongest k of |correlation|; for all rules it makes as many correlation
matrices as there are rules and chooses once, from their sum. It is spared what the rules ask beyond
that: lags (np.corrcoef of two different series makes four blocks), missing values, decay, noise
thresholds, edge attributes. Its window is the half-life, in which half of the weight of ours lies,
and twice a much shorter one, which makes its matrices cheaper and ours not. BLAS has one thread.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.figures import Figure, main
from benchmarks.side_by_side import Contestant, beside, in_turns, peak_growth_mb
from gnn_trainer.graph.assemble import draw_edges
from gnn_trainer.graph.config import GraphConfig
from gnn_trainer.graph.edges import EdgeRule, Signals, edge_rules
from tests.graph.plain_edges import plain_edges

CONFIG = GraphConfig()
SHORT_WINDOWS = 288, 96  # bars
SNAPSHOTS, SMALL_SNAPSHOTS = {100: 400, 400: 60}, {100: 100, 400: 12}
SIZES = (20, 50, 100, 200, 500)


def random_rules(num_symbols: int, snapshots: int, seed: int = 0) -> tuple[EdgeRule, ...]:
    """All rules over signals with sectors and leaders; one value in a thousand is missing."""
    rng = np.random.default_rng(seed)
    num_bars = CONFIG.warmup_bars + CONFIG.refresh_bars * (snapshots - 1) + 1
    shape = (num_bars, num_symbols)
    factors, loadings = rng.standard_normal((num_bars, 8)), rng.standard_normal((8, num_symbols))
    returns = rng.standard_t(4, shape) + 0.3 * factors @ loadings
    returns[1:] += 0.1 * np.roll(returns[:-1], 1, axis=1)
    flow = 0.5 * rng.standard_normal(shape)
    volume = rng.standard_normal(shape) + 0.3 * factors @ loadings
    series = [values.astype(np.float32) for values in (returns, flow, volume)]
    for values in series:
        values[rng.random(shape) < 0.001] = np.nan
    return edge_rules(Signals(*series), CONFIG)


def drawing(num_symbols: int, snapshots: int, num_rules: int | None = None) -> Callable[[], object]:
    """What a process loads once, numba and its machine code, is loaded."""
    draw_edges(random_rules(2, snapshots=1), CONFIG)
    return partial(draw_edges, random_rules(num_symbols, snapshots)[:num_rules], CONFIG)


def looping(
    num_symbols: int, snapshots: int, window: int, num_rules: int | None = None
) -> Callable[[], object]:
    """With so much history before the first bar that every window is full."""
    rules = random_rules(num_symbols, snapshots)[:num_rules]
    series = [np.nan_to_num(rule.follower_TN).astype(np.float64) for rule in rules]
    longer = [np.resize(values, (window + len(values), num_symbols)) for values in series]
    return partial(corrcoef_loop, longer, window)


def corrcoef_loop(series: Sequence[np.ndarray], bars: int) -> np.ndarray:
    drawn = []
    for start in _stops(len(series[0]) - bars):
        window = slice(start, start + bars)
        score = np.abs(np.corrcoef(series[0][window], rowvar=False))
        for values in series[1:]:
            score += np.abs(np.corrcoef(values[window], rowvar=False))
        np.fill_diagonal(score, 0.0)
        drawn.append(np.argpartition(-score, CONFIG.neighbours, axis=1)[:, : CONFIG.neighbours])
    return np.stack(drawn)


def multiplying(num_symbols: int, snapshots: int) -> Callable[[], object]:
    """The products of new bars alone: no incremental graph of all rules can cost less."""
    rules = random_rules(num_symbols, snapshots)
    return partial(products, [np.nan_to_num(rule.follower_TN) for rule in rules])


def products(series: Sequence[np.ndarray]) -> None:
    out = np.empty((series[0].shape[1],) * 2, np.float32)
    for stop in _stops(len(series[0])):
        for values in series:
            block = values[stop - CONFIG.refresh_bars : stop]
            np.matmul(block.T, block, out=out)


def _stops(num_bars: int) -> range:
    return range(CONFIG.warmup_bars, num_bars + 1, CONFIG.refresh_bars)


def agreement(num_symbols: int, snapshots: int) -> float:
    """Share of edges, in percent, that a float64 loop over the whole history draws as well."""
    rules = random_rules(num_symbols, snapshots)
    leader_RNk, _, _ = draw_edges(rules, CONFIG)
    stops = _stops(len(rules[0].follower_TN))
    same = total = 0
    for refresh in range(0, len(stops), 5):
        expected_Nk, _ = plain_edges(rules, CONFIG, stops[refresh])
        for found, expected in zip(leader_RNk[refresh], expected_Nk, strict=True):
            same += len(set(found.tolist()) & set(expected.tolist()) - {-1})
            total += max((found >= 0).sum(), (expected >= 0).sum())
    return 100.0 * same / total


def lines(small: bool) -> list[Figure]:
    with threadpool_limits(1, user_api="blas"):
        figures = []
        for size in (SMALL_SNAPSHOTS if small else SNAPSHOTS).items():
            figures += compared(*size)
        return [*figures, *scaling(20 if small else 100)]


def compared(num_symbols: int, snapshots: int) -> list[Figure]:
    size = num_symbols, snapshots
    windows = CONFIG.half_life_bars, *SHORT_WINDOWS
    contestants = [Contestant("ours", partial(drawing, *size))]
    contestants += [Contestant("ours, one rule", partial(drawing, *size, num_rules=1))]
    contestants += [Contestant("products", partial(multiplying, *size))]
    for window in windows:
        contestants += [Contestant(f"{window}", partial(looping, *size, window))]
        contestants += [Contestant(f"{window}, one rule", partial(looping, *size, window, 1))]
    costs = in_turns(contestants)
    ours, what = costs["ours"], f"graph, {num_symbols} symbols"
    rules = len(random_rules(*size))

    def ratio(window: int, name: str) -> Figure:
        mine, loop = costs[f"ours{name}"], costs[f"{window}{name}"]
        return Figure(
            f"{what}{name or f', all {rules} rules'}: CPU of np.corrcoef ({window} bars) over ours",
            loop.cpu_s / mine.cpu_s, "x", 2.0, 4.0, note=beside(loop, mine),
        )  # fmt: skip

    memory_mb = [peak_growth_mb(contestants[place]) for place in (0, 3)]
    return [
        *(ratio(window, name) for window in windows for name in ("", ", one rule")),
        Figure(f"{what}: snapshots of all rules per CPU-second", snapshots / ours.cpu_s, "/s"),
        Figure(
            f"{what}: matrix products of new bars, share of our CPU",
            100.0 * costs["products"].cpu_s / ours.cpu_s, "%", note="the limit of any such graph",
        ),
        Figure(
            f"{what}: edges as in the float64 loop", agreement(*size), "%", 99.99,
            note="the same definition, from scratch, every fifth snapshot",
        ),
        Figure(
            f"{what}: ours, peak memory above the signals", memory_mb[0], "MB",
            more_is_better=False,
            note=f"{snapshots} snapshots; the loop {memory_mb[1]:.0f}",
        ),
    ]  # fmt: skip


def scaling(snapshots: int) -> list[Figure]:
    """Milliseconds per snapshot by symbols, and nanoseconds per pair and rule."""
    contestants = [Contestant(str(size), partial(drawing, size, snapshots)) for size in SIZES]
    costs = in_turns(contestants, rounds=3)
    milliseconds = [1e3 * costs[str(size)].cpu_s / snapshots for size in SIZES]
    rules = len(random_rules(2, 1))
    return [
        Figure(
            f"graph, {size} symbols: CPU per snapshot of all rules", cost, "ms",
            more_is_better=False, note=f"{1e6 * cost / (rules * size**2):.1f} ns per rule and pair",
        )
        for size, cost in zip(SIZES, milliseconds, strict=True)
    ]  # fmt: skip


if __name__ == "__main__":
    main(lines)
