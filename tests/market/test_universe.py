from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnn_trainer.errors import ConfigError
from gnn_trainer.market.intervals import DAY_MS
from gnn_trainer.market.listing import SymbolListing
from gnn_trainer.market.universe import (
    SymbolChoice,
    Universe,
    parse_symbols,
    resolve_universe,
)

START_MS = 19_700 * DAY_MS  # 2023-12-09
END_MS = START_MS + 90 * DAY_MS


def listing(
    symbol: str,
    *,
    status: str = "TRADING",
    contract_type: str = "PERPETUAL",
    quote: str = "USDT",
    listed_ms: int | None = 0,
    delisted_ms: int | None = None,
) -> SymbolListing:
    base = symbol.removesuffix(quote)
    return SymbolListing(symbol, base, quote, status, contract_type, listed_ms, delisted_ms)


MARKET = [
    listing("BTCUSDT"),
    listing("ETHUSDT"),
    listing("币安人生USDT"),
    listing("LATEUSDT", listed_ms=START_MS + 30 * DAY_MS),
    listing("NEWUSDT", listed_ms=END_MS),
    listing("DEADUSDT", status="SETTLING", delisted_ms=START_MS + DAY_MS),
    listing("USDCUSDT"),
    listing("BTCUSDC", quote="USDC"),
    listing("BTCUSDT_240628", contract_type="CURRENT_QUARTER"),
    listing("TSLAUSDT", contract_type="TRADIFI_PERPETUAL"),
    listing("ODDUSDT", contract_type=""),
    listing("QUIETUSDT"),
]
VOLUMES = {
    "USDCUSDT": 99.0,
    "BTCUSDC": 98.0,
    "BTCUSDT_240628": 97.0,
    "TSLAUSDT": 96.0,
    "DEADUSDT": 95.0,
    "NEWUSDT": 94.0,
    "BTCUSDT": 50.0,
    "币安人生USDT": 40.0,
    "LATEUSDT": 30.0,
    "ETHUSDT": 20.0,
    "QUIETUSDT": 0.0,
}


def resolve(text: str, market: Sequence[SymbolListing] = MARKET) -> Universe:
    return resolve_universe(parse_symbols(text), market, VOLUMES, START_MS, END_MS)


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("BTCUSDT", SymbolChoice(("BTCUSDT",))),
        (" btcusdt , ETHUSDT,,btcUSDT ", SymbolChoice(("BTCUSDT", "ETHUSDT"))),
        ("币安人生usdt", SymbolChoice(("币安人生USDT",))),
        ("top:50", SymbolChoice(top=50)),
        (" TOP: 7 ", SymbolChoice(top=7)),
    ],
)
def test_symbols_are_names_or_the_largest(text: str, choice: SymbolChoice) -> None:
    assert parse_symbols(text) == choice


@pytest.mark.parametrize("text", ["", " , ", "top:", "top:0", "top:-3", "top:x", "top:5,BTCUSDT"])
def test_what_names_nothing_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match="top:50"):
        parse_symbols(text)


def test_top_takes_the_largest_trading_usdt_perpetuals_that_are_no_stablecoins() -> None:
    universe = resolve("top:3")
    assert universe.symbols == ("BTCUSDT", "LATEUSDT", "币安人生USDT")
    assert universe.listings[0] == MARKET[0]


def test_who_was_busier_today_changes_nothing_about_those_chosen() -> None:
    market = [listing("BUSDT"), listing("AUSDT"), listing("CUSDT")]

    def chosen(**volumes: float) -> Universe:
        return resolve_universe(SymbolChoice(top=2), market, volumes, START_MS, END_MS)

    assert chosen(AUSDT=2.0, BUSDT=3.0, CUSDT=1.0) == chosen(AUSDT=3.0, BUSDT=2.0, CUSDT=1.0)
    assert chosen(AUSDT=2.0, BUSDT=1.0, CUSDT=3.0).symbols == ("AUSDT", "CUSDT")


def test_a_candidate_listed_after_the_span_is_reported_and_replaced_by_the_next() -> None:
    universe = resolve("top:3")
    assert universe.dropped == {
        "NEWUSDT": "listed 2024-03-08, not before the span ends on 2024-03-08"
    }


def test_a_symbol_listed_within_the_span_is_kept_and_reported() -> None:
    universe = resolve("BTCUSDT,LATEUSDT")
    assert universe.symbols == ("BTCUSDT", "LATEUSDT")
    assert universe.listed_late == {"LATEUSDT": "listed 2024-01-08, after the span's start"}


def test_top_of_more_than_there_are_takes_all_with_volume() -> None:
    assert resolve("top:99").symbols == ("BTCUSDT", "ETHUSDT", "LATEUSDT", "币安人生USDT")


def test_equal_volumes_are_ordered_by_name() -> None:
    market = [listing("BUSDT"), listing("AUSDT"), listing("CUSDT")]
    volumes = dict.fromkeys(["BUSDT", "AUSDT", "CUSDT"], 1.0)
    universe = resolve_universe(SymbolChoice(top=2), market, volumes, START_MS, END_MS)
    assert universe.symbols == ("AUSDT", "BUSDT")


def test_spot_pairs_are_chosen_without_dates() -> None:
    market = [listing("BTCUSDT", contract_type="SPOT", listed_ms=None)]
    assert resolve("top:5", market).symbols == ("BTCUSDT",)


@pytest.mark.parametrize(
    ("symbol", "reason"),
    [
        ("BTCUSD", "unknown symbol; did you mean BTCUSDT"),
        ("QQQ", "unknown symbol"),
        ("DEADUSDT", "not trading: status SETTLING since 2023-12-10"),
        ("NEWUSDT", "listed 2024-03-08"),
        ("BTCUSDT_240628", "contract type CURRENT_QUARTER"),
        ("ODDUSDT", "contract type unknown"),
    ],
)
def test_an_unusable_symbol_is_dropped_among_several_and_refused_alone(
    symbol: str, reason: str
) -> None:
    universe = resolve(f"BTCUSDT,{symbol}")
    assert universe.symbols == ("BTCUSDT",)
    assert universe.dropped[symbol].startswith(reason)
    with pytest.raises(ConfigError) as caught:
        resolve(symbol)
    assert f"symbol {symbol!r}: {reason}" in str(caught.value)


def test_all_unusable_symbols_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        resolve("ETHUSTD,DEADUSDT")
    assert len(caught.value.problems) == 2
    assert "did you mean ETHUSDT" in caught.value.problems[0]


def test_a_perpetual_on_stocks_is_used_when_named() -> None:
    assert resolve("TSLAUSDT").symbols == ("TSLAUSDT",)


def test_an_empty_market_is_refused() -> None:
    with pytest.raises(ConfigError, match="name the symbols instead"):
        resolve("top:5", [])


@given(
    names=st.lists(st.sampled_from([*VOLUMES, "XUSDT", "YUSDT"]), min_size=1, unique=True),
)
def test_every_named_symbol_is_either_kept_or_dropped_with_a_reason(names: list[str]) -> None:
    universe = resolve(",".join(["ETHUSDT", *names]))
    asked = dict.fromkeys(["ETHUSDT", *names])
    assert set(universe.symbols) | set(universe.dropped) == set(asked)
    assert not set(universe.symbols) & set(universe.dropped)
    assert list(universe.symbols) == [name for name in asked if name in universe.symbols]
    assert all(universe.dropped.values())
