"""The mathematics of the generated market: who leads whom, and how returns arise.

    r_i,t = beta_i m_t + s_i,t ( z_i,t + sum over edges of a_ij z_j,t-d_ij )

r is the log return of bar t, m the market factor, z_i a symbol's own standardised shock with
heavy tails, s_i its volatility. Only the shocks z_j of the leaders are passed on, never what the
leaders received themselves, so nothing cascades and a symbol's own past says nothing of its
future: the z_j in r_i,t and in r_i,t+1 are different ones. s and the volatility of m follow an
exponential GARCH (Nelson 1991) driven by the size of past shocks, so both are known one bar ahead
and the conditional expectation s_i,t+1 sum a_ij z_j,t+1-d_ij is exact: `expected_returns`.

Every random number comes from a stream of its own per (seed, symbol, purpose), drawn in the order
of time: a longer history has the shorter one as its beginning, and no symbol disturbs another.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gnn_trainer.market.frame import FloatArray

MAX_DELAY = 3  # bars
LEADERS_PER_SYMBOL = 2
_TAIL_DF = 5.0  # Student-t: finite variance, kurtosis 9
_SHARE_POSITIVE = 0.8
_LARGEST_SHOCK = 4.0  # beyond it a shock moves volatility no further
_MEAN_ABS_SHOCK = 0.73  # of a standardised Student-t with 5 degrees of freedom, cut at 4


@dataclass(frozen=True)
class PlantedEdge:
    """`weight` of the leader's standardised shock reaches the follower `delay_bars` later."""

    leader: str
    follower: str
    delay_bars: int
    weight: float


def stream(seed: int, name: str, purpose: str) -> np.random.Generator:
    """The random numbers of one purpose of one symbol."""
    key = (seed, zlib.crc32(name.encode()), zlib.crc32(purpose.encode()))
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))


def plant_edges(
    symbols: Sequence[str], num_leaders: int, strength: float, seed: int
) -> tuple[PlantedEdge, ...]:
    """Two leaders for every symbol, drawn from the first `num_leaders`; none without strength.

    The weights of a follower add up (squared) such that `strength` is the correlation between its
    own return and what its leaders foretell of it.
    """
    if strength == 0.0:
        return ()
    edges: list[PlantedEdge] = []
    for follower in symbols:
        draw = stream(seed, follower, "edges")
        candidates = [symbol for symbol in symbols[:num_leaders] if symbol != follower]
        leaders = draw.choice(len(candidates), LEADERS_PER_SYMBOL, replace=False)
        delays = draw.integers(1, MAX_DELAY + 1, LEADERS_PER_SYMBOL)
        signs = np.where(draw.random(LEADERS_PER_SYMBOL) < _SHARE_POSITIVE, 1.0, -1.0)
        sizes = draw.uniform(0.7, 1.3, LEADERS_PER_SYMBOL)
        sizes *= strength / np.sqrt((1 - strength**2) * (sizes**2).sum())
        edges += (
            PlantedEdge(candidates[leader], follower, int(delay), float(weight))
            for leader, delay, weight in zip(leaders, delays, signs * sizes, strict=True)
        )
    return tuple(edges)


def draw_shocks(num_bars: int, names: Sequence[str], seed: int) -> FloatArray:
    """Standardised Student-t shocks, [T, N]."""
    scale = np.sqrt((_TAIL_DF - 2) / _TAIL_DF)
    columns = [stream(seed, name, "shock").standard_t(_TAIL_DF, num_bars) for name in names]
    return np.asarray(scale * np.stack(columns, axis=1))


def clustered_volatility(z_TN: FloatArray, persistence: float, reaction: float) -> FloatArray:
    """Factor exp(h) around 1, h_t = persistence h_t-1 + reaction (|z_t-1| - its mean), [T, N]."""
    surprise_TN = np.minimum(np.abs(z_TN), _LARGEST_SHOCK) - _MEAN_ABS_SHOCK
    h_TN = np.zeros_like(z_TN)
    for t in range(1, len(z_TN)):
        h_TN[t] = persistence * h_TN[t - 1] + reaction * surprise_TN[t - 1]
    return np.exp(h_TN)


def foretold_shocks(
    z_TN: FloatArray, symbols: Sequence[str], edges: Sequence[PlantedEdge]
) -> FloatArray:
    """What the leaders' past shocks add to each bar, in units of the follower's volatility."""
    column = {symbol: i for i, symbol in enumerate(symbols)}
    foretold_TN = np.zeros_like(z_TN)
    for edge in edges:
        past_T = z_TN[: -edge.delay_bars, column[edge.leader]]
        foretold_TN[edge.delay_bars :, column[edge.follower]] += edge.weight * past_T
    return foretold_TN


@dataclass(frozen=True)
class Returns:
    """Log returns of every bar and their parts, [T, N] each."""

    total_TN: FloatArray
    foretold_TN: FloatArray  # the expectation of total given everything before the bar
    shock_TN: FloatArray  # own standardised shock
    volatility_TN: FloatArray  # of the whole return, known before the bar


def simulate_returns(
    *,
    names: Sequence[str],
    betas_N: FloatArray,
    volatilities_N: FloatArray,
    market_volatility: float,
    edges: Sequence[PlantedEdge],
    num_bars: int,
    seed: int,
) -> Returns:
    """Returns of `num_bars` bars; volatilities are those of one bar in calm times, log return."""
    market_z_T1 = draw_shocks(num_bars, ("market factor",), seed)
    market_calm_T1 = clustered_volatility(market_z_T1, persistence=0.98, reaction=0.08)
    z_TN = draw_shocks(num_bars, names, seed)
    own_TN = volatilities_N * np.sqrt(market_calm_T1)
    own_TN = own_TN * clustered_volatility(z_TN, persistence=0.96, reaction=0.10)
    foretold_TN = own_TN * foretold_shocks(z_TN, names, edges)
    factor_T1 = market_volatility * market_calm_T1
    total_TN = betas_N * factor_T1 * market_z_T1 + own_TN * z_TN + foretold_TN
    whole_TN = np.hypot(betas_N * factor_T1, own_TN)
    return Returns(total_TN, foretold_TN, z_TN, whole_TN)
