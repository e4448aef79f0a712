"""Reading a request's parameters the way Binance does, and its refusals."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

_INTEGER = re.compile(r"[0-9]{1,20}")


class ApiError(Exception):
    """A refusal as Binance words it: an HTTP status and `{"code": ..., "msg": ...}`."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status

    def body(self) -> bytes:
        return to_json({"code": self.code, "msg": self.message})


def to_json(document: object) -> bytes:
    """Compact JSON in UTF-8, as it goes over the wire."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def not_valid(name: str) -> ApiError:
    return ApiError(-1130, f"Data sent for parameter '{name}' is not valid.")


@dataclass(frozen=True)
class Query:
    """The query string of one request."""

    values: Mapping[str, str]

    def text(self, name: str) -> str:
        """A mandatory parameter."""
        value = self.values.get(name, "")
        if not value:
            raise ApiError(
                -1102,
                f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.",
            )
        return value

    def optional(self, name: str) -> str | None:
        return self.values.get(name) or None

    def integer(self, name: str) -> int | None:
        """Digits only: a float or a sign is an illegal character to Binance."""
        value = self.values.get(name)
        if value is None:
            return None
        if not _INTEGER.fullmatch(value):
            raise ApiError(
                -1100,
                f"Illegal characters found in parameter '{name}'; "
                "legal range is '^[0-9]{1,20}$'.",
            )
        return int(value)

    def limit(self, default: int, most: int, *, clip: bool) -> int:
        """Rows wanted: the spot market clips what is too large, USD-M refuses it."""
        limit = self.integer("limit")
        if limit is None:
            return default
        if limit == 0 or (limit > most and not clip):
            raise not_valid("limit")
        return min(limit, most)

    def window(self) -> "TimeWindow":
        """startTime and endTime, both inclusive and optional."""
        start_ms, end_ms = self.integer("startTime"), self.integer("endTime")
        if start_ms is not None and end_ms is not None and start_ms > end_ms:
            raise ApiError(-1023, "Start time is greater than end time.")
        return TimeWindow(start_ms, end_ms)


@dataclass(frozen=True)
class TimeWindow:
    """Which rows are asked for: from the oldest if there is a start, else the newest ones."""

    start_ms: int | None
    end_ms: int | None

    def rows(self, first: int, stop: int, limit: int) -> slice:
        """At most `limit` of the rows first..stop-1 that lie within the bounds."""
        if self.start_ms is not None:
            return slice(first, min(first + limit, max(first, stop)))
        return slice(max(first, stop - limit), max(first, stop))
