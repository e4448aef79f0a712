"""From when to when a description holds, in the words that prepared graphs use."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time

from gnn_trainer.graph.relations import ALWAYS, OPEN_END

START_FIELDS = ("valid_from", "validFrom", "valid_since", "ts", "timestamp", "as_of")
END_FIELDS = ("valid_to", "validTo", "valid_until", "validUntil")
TIME_FIELDS = (*START_FIELDS, *END_FIELDS)

_EARLIEST_MS = 0  # 1970
_LATEST_MS = 4_102_444_800_000  # 2100
_SECONDS_BELOW = 10**11  # as milliseconds 1973, as seconds far beyond 2100
_MILLISECONDS_BELOW = 10**14


def start_of(document: Mapping[str, object]) -> int:
    """Unix ms; ALWAYS if nothing says it. What is known since `ts` is used since `ts`.

    Raises:
        ValueError: a time that cannot be read.
    """
    return _first_time(document, START_FIELDS, ALWAYS)


def end_of(document: Mapping[str, object]) -> int:
    """Unix ms, exclusive; OPEN_END if nothing says it.

    Raises:
        ValueError: a time that cannot be read.
    """
    return _first_time(document, END_FIELDS, OPEN_END)


def read_time_ms(value: object) -> int:
    """ISO text or datetime (UTC unless it says otherwise; a date is midnight), or unix s, ms, us.

    Raises:
        ValueError: neither, or outside 1970..2100.
    """
    if isinstance(value, str):
        value = datetime.fromisoformat(value.strip())
    elif isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        time_ms = round(moment.timestamp() * 1000)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        size = abs(value)
        scale = 1000 if size < _SECONDS_BELOW else 1 if size < _MILLISECONDS_BELOW else 0.001
        time_ms = round(value * scale) if size < _LATEST_MS * 1000 else -1
    else:
        raise ValueError(f"{value!r} is no time")
    if not _EARLIEST_MS <= time_ms <= _LATEST_MS:
        raise ValueError(f"{value!r} is not between 1970 and 2100")
    return time_ms


def _first_time(document: Mapping[str, object], names: tuple[str, ...], otherwise: int) -> int:
    for name in names:
        value = document.get(name)
        if value is not None:
            return read_time_ms(value)
    return otherwise
