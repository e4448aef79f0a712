"""The generated market: reproducible, plausible, and as predictable as it was made, no more."""

from dataclasses import fields

import numpy as np
import pytest

from gnn_trainer.errors import ConfigError
from gnn_trainer.exchange.config import ExchangeConfig
from gnn_trainer.exchange.generated import (
    SPARE_BARS,
    START_MS,
    GeneratedMarket,
    rank_correlations,
)
from gnn_trainer.exchange.truth import Bars, FundingHistory
from gnn_trainer.market.frame import FloatArray

HOUR_MS = 3_600_000
SMALL = ExchangeConfig(symbols=6, bars=1000)


def column_bytes(rows: Bars | FundingHistory) -> list[bytes]:
    return [getattr(rows, field.name).tobytes() for field in fields(rows)]


def log_returns(market: GeneratedMarket) -> FloatArray:
    """Close to close, own part only: the market mode is taken out by the mean. [T, N]"""
    close_TN = np.log(market.candles("1h").close_TN)
    r_TN = np.diff(close_TN, axis=0, prepend=close_TN[:1])
    return np.asarray(r_TN - r_TN.mean(axis=1, keepdims=True))


def test_the_same_seed_gives_the_same_bytes() -> None:
    one, other = GeneratedMarket(SMALL), GeneratedMarket(SMALL)
    for listing in one.listings():
        symbol = listing.symbol
        assert column_bytes(one.bars(symbol)) == column_bytes(other.bars(symbol))
        assert column_bytes(one.funding(symbol)) == column_bytes(other.funding(symbol))


def test_another_seed_gives_another_market() -> None:
    other = GeneratedMarket(SMALL.model_copy(update={"seed": SMALL.seed + 1}))
    assert (other.bars("BTCUSDT").close != GeneratedMarket(SMALL).bars("BTCUSDT").close).any()


@pytest.mark.parametrize("later_hours", [1, SPARE_BARS + 1, 3000])
def test_a_later_time_keeps_every_earlier_bar(later_hours: int) -> None:
    early = GeneratedMarket(SMALL)
    late = GeneratedMarket(
        SMALL.model_copy(update={"now_ms": early.now_ms + later_hours * HOUR_MS})
    )
    assert len(late.candles("1h").open_time_T) == 1000 + later_hours
    assert late.listings() == early.listings()
    for listing in early.listings():
        before, after = early.bars(listing.symbol), late.bars(listing.symbol)
        assert column_bytes(after.take(slice(0, len(before)))) == column_bytes(before)
        settled, later = early.funding(listing.symbol), late.funding(listing.symbol)
        assert later.time[: len(settled.time)].tobytes() == settled.time.tobytes()
        assert later.rate[: len(settled.rate)].tobytes() == settled.rate.tobytes()


def test_more_symbols_leave_the_prices_of_the_others_without_leaders_alone() -> None:
    noise = SMALL.model_copy(update={"strength": 0.0})
    wider = noise.model_copy(update={"symbols": 12})
    few, many = GeneratedMarket(noise), GeneratedMarket(wider)
    assert column_bytes(few.bars("XRPUSDT")) == column_bytes(many.bars("XRPUSDT"))


def test_a_time_before_the_market_starts_is_refused() -> None:
    with pytest.raises(ConfigError, match="before the generated market starts"):
        GeneratedMarket(SMALL.model_copy(update={"now_ms": START_MS - 1}))


@pytest.mark.parametrize("interval", ["1m", "15m", "1h", "4h", "1d"])
def test_bars_are_possible_and_on_the_tick(interval: str) -> None:
    market = GeneratedMarket(SMALL.model_copy(update={"interval": interval}))
    for listing in market.listings():
        bars = market.bars(listing.symbol)
        assert (bars.low > 0).all()
        assert (bars.low <= np.minimum(bars.open, bars.close)).all()
        assert (bars.high >= np.maximum(bars.open, bars.close)).all()
        assert (bars.taker_buy_volume <= bars.volume).all()
        assert (np.diff(bars.open_time) == market.interval_ms).all()
        for prices in (bars.open, bars.high, bars.low, bars.close):
            written = [float(f"{price:.{listing.tick_decimals}f}") for price in prices.tolist()]
            assert written == prices.tolist()


def test_a_bar_opens_where_the_last_one_closed() -> None:
    candles = GeneratedMarket(SMALL).candles("1h")
    gap_TN = np.log(candles.open_TN[1:] / candles.close_TN[:-1])
    move_TN = np.log(candles.close_TN / candles.open_TN)
    assert gap_TN.std() < 0.03 * move_TN.std()


def test_returns_look_like_those_of_a_market() -> None:
    close_TN = np.log(GeneratedMarket(ExchangeConfig()).candles("1h").close_TN)
    r_TN = np.diff(close_TN, axis=0)
    z_TN = (r_TN - r_TN.mean(axis=0)) / r_TN.std(axis=0)
    size_TN = np.abs(z_TN)
    clustering = np.mean([np.corrcoef(s[1:], s[:-1])[0, 1] for s in size_TN.T])
    together = np.corrcoef(r_TN.T)[np.triu_indices(20, 1)].mean()
    assert (z_TN**4).mean() > 5  # a normal distribution has 3
    assert clustering > 0.05
    assert 0.2 < together < 0.7
    assert 0.004 < r_TN.std() < 0.015


def test_volume_follows_the_size_and_takers_the_sign_of_a_move() -> None:
    candles = GeneratedMarket(SMALL).candles("1h")
    r_TN = np.log(candles.close_TN / candles.open_TN)
    share_TN = candles.taker_buy_volume_TN / candles.volume_TN
    for i in range(6):
        assert np.corrcoef(np.abs(r_TN[:, i]), np.log(candles.volume_TN[:, i]))[0, 1] > 0.3
        assert np.corrcoef(r_TN[:, i], share_TN[:, i])[0, 1] > 0.3


@pytest.mark.parametrize("seed", [1, 2, 3, 7, 11])
def test_the_best_possible_rank_ic_is_what_was_promised(seed: int) -> None:
    assert 0.10 < GeneratedMarket(ExchangeConfig(seed=seed)).oracle_rank_ic() < 0.20


def test_more_strength_means_more_skill_to_be_had() -> None:
    weak, strong = (
        GeneratedMarket(ExchangeConfig(strength=strength)).oracle_rank_ic()
        for strength in (0.05, 0.4)
    )
    assert 0.02 < weak < 0.08
    assert 0.3 < strong < 0.5


def test_without_strength_there_is_nothing_to_know() -> None:
    market = GeneratedMarket(ExchangeConfig(strength=0.0))
    assert market.planted_edges == ()
    assert market.oracle_rank_ic() == 0.0
    assert not market.oracle_scores(market.candles("1h").open_time_T).any()
    # Nor does any symbol lead any other: 1200 correlations of 4317 bars stay within 5 sigma.
    r_TN = log_returns(market)
    z_TN = r_TN / r_TN.std(axis=0)
    for lag in (1, 2, 3):
        assert np.abs(z_TN[lag:].T @ z_TN[:-lag] / len(z_TN[lag:])).max() < 5 / np.sqrt(4317) * 1.3


def test_a_symbol_s_own_past_foretells_nothing() -> None:
    """Best linear forecast from five own lags, fitted on the first half, judged on the second."""
    own = []
    for seed in range(5):
        r_TN = log_returns(GeneratedMarket(ExchangeConfig(seed=seed)))
        lags_TNK = np.stack([np.roll(r_TN, lag, axis=0) for lag in range(1, 6)], axis=-1)[6:]
        next_TN = r_TN[6:]
        half = len(next_TN) // 2
        forecast_TN = np.stack(
            [
                lags_TNK[half:, i]
                @ np.linalg.lstsq(lags_TNK[:half, i], next_TN[:half, i], rcond=None)[0]
                for i in range(20)
            ],
            axis=1,
        )
        own.append(rank_correlations(forecast_TN, next_TN[half:]).mean())
    assert abs(np.mean(own)) < 0.012


def test_the_planted_edges_stand_out_in_the_returns() -> None:
    """Of all 57 pairs of a leader and a delay, a follower goes most with its two planted ones."""
    market = GeneratedMarket(ExchangeConfig(strength=0.4))
    r_TN = log_returns(market)
    z_TN = r_TN / r_TN.std(axis=0)
    goes_with = {
        (symbol, leader, lag): float(z_TN[lag:, i] @ z_TN[:-lag, j]) / len(z_TN)
        for i, symbol in enumerate(market.symbols)
        for j, leader in enumerate(market.symbols)
        for lag in (1, 2, 3)
        if i != j
    }
    found = 0
    for symbol in market.symbols:
        measured = {key: value for key, value in goes_with.items() if key[0] == symbol}
        strongest = sorted(measured, key=lambda key: abs(goes_with[key]), reverse=True)[:2]
        for edge in market.planted_edges:
            key = (edge.follower, edge.leader, edge.delay_bars)
            if key in strongest:
                assert np.sign(goes_with[key]) == np.sign(edge.weight)
                found += 1
    assert found >= 38  # of 40


def test_every_symbol_has_two_leaders_among_the_most_liquid() -> None:
    market = GeneratedMarket(ExchangeConfig())
    liquid = market.symbols[:5]
    for follower in market.symbols:
        edges = [edge for edge in market.planted_edges if edge.follower == follower]
        assert len({edge.leader for edge in edges}) == 2
        assert all(edge.leader in liquid and edge.leader != follower for edge in edges)
        assert all(1 <= edge.delay_bars <= 3 for edge in edges)


def test_the_oracle_knows_only_the_past() -> None:
    """Its score for the newest spare bar but one needs no later bar to exist."""
    market = GeneratedMarket(SMALL)
    last_ms = START_MS + (1000 + SPARE_BARS - 1) * HOUR_MS
    longer = GeneratedMarket(SMALL.model_copy(update={"now_ms": last_ms}))
    times = np.array([START_MS + 500 * HOUR_MS, last_ms - HOUR_MS])
    np.testing.assert_array_equal(market.oracle_scores(times), longer.oracle_scores(times))
    outside = np.array([START_MS - 2 * HOUR_MS, last_ms + HOUR_MS])
    assert np.isnan(market.oracle_scores(outside)).all()


def test_the_extra_listings_are_traps_and_the_core_is_clean() -> None:
    market = GeneratedMarket(ExchangeConfig())
    by_symbol = {listing.symbol: listing for listing in market.listings()}
    for symbol in market.symbols:
        bars = market.bars(symbol)
        assert by_symbol[symbol].status_at(market.now_ms) == "TRADING"
        assert len(bars) == 4320 + SPARE_BARS
        assert (bars.volume > 0).all()
    dead, late = by_symbol["FTTUSDT"], by_symbol["LAYERUSDT"]
    assert dead.delisted_ms is not None
    after = market.bars("FTTUSDT").take(market.bars("FTTUSDT").open_time >= dead.delisted_ms)
    assert len(after) > 1000
    assert not after.volume.any()
    assert not after.trades.any()
    assert (after.high == after.low).all()
    assert late.listed_ms < market.bars("LAYERUSDT").open_time[0]
    assert len(market.bars("SOONUSDT")) == 0


def test_funding_is_settled_every_few_hours_a_little_late() -> None:
    market = GeneratedMarket(ExchangeConfig())
    for listing in market.listings():
        history = market.funding(listing.symbol)
        if listing.contract_type == "CURRENT_QUARTER":
            assert len(history.time) == 0
            continue
        delay = history.time % (listing.funding_hours * HOUR_MS)
        assert (delay <= 17).all()
        assert (np.abs(history.rate) <= 0.003).all()
    delay = market.funding("BTCUSDT").time % HOUR_MS
    assert 0.5 < (delay > 0).mean() < 0.66
    assert {listing.funding_hours for listing in market.listings()} == {4, 8}
