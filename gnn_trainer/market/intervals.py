"""Bar intervals, named as Binance names them (case-sensitive: `1m` is a minute, `1M` a month)."""

from gnn_trainer.errors import ConfigError

_MINUTE_MS = 60_000
INTERVAL_MS: dict[str, int] = {
    "1m": _MINUTE_MS,
    "3m": 3 * _MINUTE_MS,
    "5m": 5 * _MINUTE_MS,
    "15m": 15 * _MINUTE_MS,
    "30m": 30 * _MINUTE_MS,
    "1h": 60 * _MINUTE_MS,
    "2h": 120 * _MINUTE_MS,
    "4h": 240 * _MINUTE_MS,
    "6h": 360 * _MINUTE_MS,
    "8h": 480 * _MINUTE_MS,
    "12h": 720 * _MINUTE_MS,
    "1d": 1440 * _MINUTE_MS,
}
DAY_MS = INTERVAL_MS["1d"]


def interval_ms(interval: str) -> int:
    """Length of a bar in milliseconds.

    Raises:
        ConfigError: not one of `INTERVAL_MS` (weeks and months do not divide the unix epoch).
    """
    try:
        return INTERVAL_MS[interval]
    except KeyError:
        known = ", ".join(INTERVAL_MS)
        raise ConfigError(f"interval {interval!r} unknown; use one of {known}") from None
