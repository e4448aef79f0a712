"""What a refusal by Binance means for the run. Pure; the HTTP status is judged before the code.

An HTML page of the firewall and a restricted location both come with code 0, so the code alone
says little. Codes: "Error codes" of the spot and USD-M documentation.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from gnn_trainer.errors import (
    ConfigError,
    GnnTrainerError,
    RateLimited,
    ServiceBanned,
    ServiceError,
    TransientServiceError,
)

RETRY_AFTER_FALLBACK_S = 60  # the USD-M documentation does not promise the header
SHORTEST_BAN_S = 120

_RATE_LIMIT_CODE = -1003
_BAD_INTERVAL_CODE = -1120
_CREDENTIAL_CODES = {-1002, -1022, -2014, -2015}
_SYMBOL_CODES = {-1121, -1122, -1220, -4108}
_TRANSIENT_CODES = {-1000, -1001, -1006, -1007, -1008, -1015}
_BANNED_UNTIL = re.compile(r"banned until (\d{10,})")


class SymbolRefused(ServiceError):
    """The exchange does not serve this symbol: unknown, halted or delisted."""


@dataclass(frozen=True)
class Refusal:
    """An answer that is not 2xx. `code` and `text` are the body's own, 0 and "" if it has none."""

    status: int
    code: int = 0
    text: str = ""
    retry_after_s: int | None = None

    def __str__(self) -> str:
        said = f": {self.text}" if self.text else ""
        return f"HTTP {self.status}{said}" + (f" ({self.code})" if self.code else "")


def judge(refusal: Refusal, call: str, *, url_variable: str, now_ms: int) -> GnnTrainerError:
    """The error of DESIGN section 10 for a refused `call`; the caller raises it."""
    limited = _judge_limits(refusal, call, now_ms)
    if limited is not None:
        return limited
    remedy = _remedy(refusal, url_variable)
    if remedy is not None:
        return ConfigError(f"{call}: {refusal}; {remedy}")
    if refusal.status == 408 or refusal.status >= 500 or refusal.code in _TRANSIENT_CODES:
        return TransientServiceError(f"{call}: {refusal}")
    if refusal.code in _SYMBOL_CODES:
        return SymbolRefused(f"{call}: {refusal}")
    return ServiceError(f"{call}: {refusal}")


def _judge_limits(refusal: Refusal, call: str, now_ms: int) -> GnnTrainerError | None:
    if refusal.status == 418:
        until_ms = _ban_end_ms(refusal, now_ms)
        until = datetime.fromtimestamp(until_ms / 1000, tz=UTC).isoformat(" ", "seconds")
        return ServiceBanned(
            f"{call}: {refusal}; this address is banned until {until}; start again after that, "
            "with fewer processes on this address",
            until_ms=until_ms,
        )
    if refusal.status == 429 or refusal.code == _RATE_LIMIT_CODE:
        retry_after_s = refusal.retry_after_s or RETRY_AFTER_FALLBACK_S
        return RateLimited(
            f"{call}: {refusal}; told to wait {retry_after_s} s", retry_after_s=retry_after_s
        )
    return None


def _ban_end_ms(refusal: Refusal, now_ms: int) -> int:
    if refusal.retry_after_s is not None:
        return now_ms + refusal.retry_after_s * 1000
    told = _BANNED_UNTIL.search(refusal.text)
    return int(told[1]) if told else now_ms + SHORTEST_BAN_S * 1000


def _remedy(refusal: Refusal, url_variable: str) -> str | None:
    """What the user can do where repeating the call cannot help; None where that is nothing."""
    if refusal.status == 451:
        return f"the exchange serves no one at this location; reach it elsewhere by {url_variable}"
    if refusal.status == 401 or refusal.code in _CREDENTIAL_CODES:
        return "check BINANCE_API_KEY and BINANCE_API_SECRET, or unset them: market data needs none"
    if refusal.status == 403:
        return "the exchange's firewall blocks this address or request; wait, or use another one"
    if refusal.status == 404:
        return f"does {url_variable} name a server that speaks Binance REST?"
    if refusal.code == _BAD_INTERVAL_CODE:
        return "choose an interval this market has, such as 5m, 15m, 1h, 4h"
    return None
