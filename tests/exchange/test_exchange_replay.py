"""Recorded candles behind the exchange: served as they were recorded."""

import logging
from pathlib import Path

import polars as pl
import pytest

from gnn_trainer.errors import ConfigError
from gnn_trainer.exchange.config import ExchangeConfig
from gnn_trainer.exchange.process import start_exchange
from gnn_trainer.exchange.replay import ReplayedMarket
from tests.exchange.asking import get

QUARTER_MS = 900_000
START_MS = 1_745_654_400_000
NUM_BARS = 200


def recorded(symbol: str, first_price: float, num_bars: int = NUM_BARS) -> pl.DataFrame:
    price = pl.Series([round(first_price * (1 + 0.001 * (i % 7)), 4) for i in range(num_bars)])
    return pl.DataFrame(
        {
            "symbol": [symbol] * num_bars,
            "open_time": [START_MS + i * QUARTER_MS for i in range(num_bars)],
            "open": price,
            "high": price * 1.001,
            "low": price * 0.999,
            "close": price,
            "volume": pl.Series([10.0 + i for i in range(num_bars)], dtype=pl.Float32),
            "closed": [i < num_bars - 1 for i in range(num_bars)],
        }
    ).with_columns(pl.col("high", "low").round(4))


@pytest.fixture
def candle_file(tmp_path: Path) -> Path:
    path = tmp_path / "klines.parquet"
    pl.concat([recorded("ETHUSDT", 1800.0), recorded("BTCUSDT", 94000.5)]).write_parquet(path)
    return path


def test_recorded_bars_are_served_as_they_are(candle_file: Path) -> None:
    with start_exchange(ExchangeConfig(replay=candle_file, ticking=False)) as exchange:
        query = {"symbol": "ETHUSDT", "interval": "15m"}
        rows = get(exchange, "/fapi/v1/klines", **query).json()
        table = recorded("ETHUSDT", 1800.0)
        for position, name in enumerate(("open_time", "open", "high", "low", "close", "volume")):
            assert [float(row[position]) for row in rows] == table[name].to_list()
        assert rows[-1][0] <= exchange.now_ms <= rows[-1][6]
        info = get(exchange, "/fapi/v1/exchangeInfo").json()
        assert [row["symbol"] for row in info["symbols"]] == ["BTCUSDT", "ETHUSDT"]
        assert exchange.oracle is None


def test_what_was_not_recorded_is_neutral_and_said_once(
    candle_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        bars = ReplayedMarket(ExchangeConfig(replay=candle_file)).bars("BTCUSDT")
    assert len(caplog.records) == 1
    assert "quote_volume, trades, taker_buy_base, taker_buy_quote" in caplog.text
    assert (bars.taker_buy_volume == bars.volume / 2).all()
    assert (bars.taker_buy_quote_volume == bars.quote_volume / 2).all()
    typical = (bars.high + bars.low + bars.close) / 3
    assert bars.quote_volume == pytest.approx(bars.volume * typical)


def test_the_bar_recorded_while_forming_is_served_as_it_stood(candle_file: Path) -> None:
    with start_exchange(ExchangeConfig(replay=candle_file, ticking=False)) as exchange:
        query: dict[str, str | int] = {"symbol": "ETHUSDT", "interval": "15m", "limit": 1}
        newest = get(exchange, "/fapi/v1/klines", **query).json()[0]
        assert float(newest[5]) == 10.0 + NUM_BARS - 1


def test_the_server_can_stand_at_any_recorded_time(candle_file: Path) -> None:
    now_ms = START_MS + 100 * QUARTER_MS + 60_000
    config = ExchangeConfig(replay=candle_file, now_ms=now_ms, ticking=False)
    with start_exchange(config) as exchange:
        rows = get(exchange, "/fapi/v1/klines", symbol="ETHUSDT", interval="15m").json()
        assert len(rows) == 101
        assert float(rows[-1][5]) < 10.0 + 100  # a closed bar, but seen while it forms
        hours = get(exchange, "/fapi/v1/klines", symbol="ETHUSDT", interval="1h").json()
        assert len(hours) == 26
        finer = get(exchange, "/fapi/v1/klines", symbol="ETHUSDT", interval="5m")
        assert finer.json()["code"] == -1120


def test_funding_beside_the_candles_is_served(candle_file: Path) -> None:
    pl.DataFrame(
        {
            "symbol": ["ETHUSDT"] * 2,
            "funding_time": [START_MS - 4 * 3_600_000 + 11, START_MS + 3],
            "funding_rate": [0.0001, -0.00002],
        }
    ).write_parquet(candle_file.with_name("funding.parquet"))
    with start_exchange(ExchangeConfig(replay=candle_file, ticking=False)) as exchange:
        rows = get(exchange, "/fapi/v1/fundingRate", symbol="ETHUSDT").json()
        assert [row["fundingRate"] for row in rows] == ["0.00010000", "-0.00002000"]
        assert [row["markPrice"] for row in rows] == ["", "1800.00000000"]
        assert get(exchange, "/fapi/v1/fundingRate", symbol="BTCUSDT").json() == []
        (adjusted,) = get(exchange, "/fapi/v1/fundingInfo").json()
        assert (adjusted["symbol"], adjusted["fundingIntervalHours"]) == ("ETHUSDT", 4)


def test_spot_replays_without_a_maintenance_hole(candle_file: Path) -> None:
    with start_exchange(ExchangeConfig(replay=candle_file, ticking=False)) as exchange:
        rows = get(exchange, "/api/v3/klines", symbol="ETHUSDT", interval="15m").json()
        assert len(rows) == NUM_BARS


def test_an_unusable_file_is_refused_with_the_reason(tmp_path: Path) -> None:
    def start(path: Path, now_ms: int | None = None) -> None:
        ReplayedMarket(ExchangeConfig(replay=path, now_ms=now_ms))

    with pytest.raises(ConfigError, match="not found"):
        start(tmp_path / "nothing.parquet")
    incomplete = tmp_path / "incomplete.parquet"
    recorded("BTCUSDT", 5.0).drop("volume").write_parquet(incomplete)
    with pytest.raises(ConfigError, match="volume"):
        start(incomplete)
    odd = tmp_path / "odd.parquet"
    recorded("BTCUSDT", 5.0).with_columns(pl.col("open_time") * 7).write_parquet(odd)
    with pytest.raises(ConfigError, match="6300000 ms apart"):
        start(odd)
    dated = tmp_path / "dated.parquet"
    dates = pl.from_epoch("open_time", time_unit="ms")
    recorded("BTCUSDT", 5.0).with_columns(dates).write_parquet(dated)
    with pytest.raises(ConfigError, match="whole milliseconds"):
        start(dated)
    good = tmp_path / "good.parquet"
    recorded("BTCUSDT", 5.0).write_parquet(good)
    with pytest.raises(ConfigError, match="outside the recorded candles"):
        start(good, now_ms=START_MS - 1)
    not_parquet = tmp_path / "text.parquet"
    not_parquet.write_text("symbol,open_time\n")
    with pytest.raises(ConfigError, match="not a Parquet file"):
        start(not_parquet)


def test_a_recorded_market_comes_through_number_for_number(recorded_data: Path) -> None:
    path = recorded_data / "um_15m_24_180d" / "klines.parquet"
    table = pl.read_parquet(path).filter(pl.col("symbol") == "1000PEPEUSDT").sort("open_time")
    with start_exchange(ExchangeConfig(replay=path, ticking=False)) as exchange:
        query: dict[str, str | int] = {"symbol": "1000PEPEUSDT", "interval": "15m"}
        rows = get(exchange, "/fapi/v1/klines", **query, limit=1500).json()
        newest = table.tail(1500)
        assert [row[0] for row in rows] == newest["open_time"].to_list()
        for position, name in enumerate(("open", "high", "low", "close"), start=1):
            assert [float(row[position]) for row in rows] == newest[name].to_list()
        assert len(get(exchange, "/fapi/v1/exchangeInfo").json()["symbols"]) == 24
