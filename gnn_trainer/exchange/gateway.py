"""From a path and a query to a status, headers and a body: the exchange without the network."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from gnn_trainer.exchange.clock import ServerClock
from gnn_trainer.exchange.config import RequestLimits
from gnn_trainer.exchange.endpoint import Endpoint
from gnn_trainer.exchange.faults import FaultKind
from gnn_trainer.exchange.limits import Refusal, RequestLedger
from gnn_trainer.exchange.query import ApiError, Query
from gnn_trainer.exchange.spot import SPOT_ENDPOINTS
from gnn_trainer.exchange.truth import MarketName, MarketTruth
from gnn_trainer.exchange.usdm import USDM_ENDPOINTS
from gnn_trainer.exchange.venue import Venue

_CLIENT = "127.0.0.1"
_FAULT_BAN_MS = 120_000
_WEB_PAGE = (
    b'<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01 Transitional//EN" '
    b'"http://www.w3.org/TR/html4/loose.dtd">\n<HTML><HEAD><TITLE>ERROR: The request could not '
    b"be satisfied</TITLE></HEAD><BODY><H1>403 ERROR</H1>Request blocked.</BODY></HTML>\n"
)
_RESTRICTED = (
    "Service unavailable from a restricted location according to 'b. Eligibility' in "
    "https://www.binance.com/en/terms. Please contact customer service if you believe you "
    "received this message in error."
)


@dataclass(frozen=True)
class Answer:
    """A response before it goes out."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


class Gateway:
    """Both markets behind one door. Each counts its own request weight, as on Binance."""

    def __init__(self, truth: MarketTruth, clock: ServerClock, limits: RequestLimits) -> None:
        self._now_ms = clock.now_ms
        self._limits = limits
        self._venue = Venue(truth, clock.now_ms, limits)
        self.forget_usage()

    def answer(self, path: str, values: Mapping[str, str]) -> Answer:
        """What Binance answers to a GET request that meets no fault."""
        market: MarketName = "usdm" if path.startswith("/fapi/") else "spot"
        endpoint = (USDM_ENDPOINTS if market == "usdm" else SPOT_ENDPOINTS).get(path)
        if endpoint is None:
            return _error(ApiError(-5000, f"Path {path}, Method GET is invalid", 404))
        refusal = self._charge(self._ledgers[market], endpoint, Query(values))
        if refusal is not None:
            answer = self._refuse(market, refusal)
        else:
            answer = self._ask(endpoint, Query(values))
        used = str(self._ledgers[market].used_weight(self._now_ms()))
        weights = {"X-MBX-USED-WEIGHT-1M": used}
        if market == "spot":
            weights["X-MBX-USED-WEIGHT"] = used
        return replace(answer, headers={**answer.headers, **weights})

    def forget_usage(self) -> None:
        """Count requests anew: while the clock stands still, no minute ends by itself."""
        limits = self._limits
        self._ledgers: dict[MarketName, RequestLedger] = {
            "spot": RequestLedger.of(limits.spot_weight, limits.funding_requests),
            "usdm": RequestLedger.of(limits.usdm_weight, limits.funding_requests),
        }

    def faulty_answer(self, kind: FaultKind, path: str, values: Mapping[str, str]) -> Answer:
        """The answer with a fault in it; faults of the connection itself are the server's."""
        market: MarketName = "usdm" if path.startswith("/fapi/") else "spot"
        match kind:
            case FaultKind.HTML_403:
                return Answer(403, _WEB_PAGE, "text/html")
            case FaultKind.HTML_200:
                return Answer(200, _WEB_PAGE, "text/html")
            case FaultKind.RESTRICTED_451:
                return _error(ApiError(0, _RESTRICTED, 451))
            case FaultKind.UNAVAILABLE_503:
                message = "Internal error; unable to process your request. Please try again."
                return _error(ApiError(-1001, message, 503))
            case FaultKind.UNKNOWN_SYMBOL_400:
                return _error(ApiError(-1121, "Invalid symbol."))
            case FaultKind.ERROR_200:
                return replace(_error(ApiError(-1000, "An unknown error occurred.")), status=200)
            case FaultKind.WRONG_SHAPE:
                return Answer(200, b'[{"unexpected":true}]')
            case FaultKind.PLAIN_TEXT:
                return replace(self.answer(path, values), content_type="text/plain")
            case FaultKind.RATE_LIMITED_429:
                return self._refuse(market, Refusal(retry_after_s=1))
            case FaultKind.NO_RETRY_AFTER_429:
                return replace(self._refuse(market, Refusal(retry_after_s=1)), headers={})
            case FaultKind.BANNED_418:
                ends_ms = self._now_ms() + _FAULT_BAN_MS
                return self._refuse(market, Refusal(_FAULT_BAN_MS // 1000, ends_ms))
            case FaultKind.TRUNCATED:
                whole = self.answer(path, values)
                return replace(whole, body=whole.body[: len(whole.body) // 2])
            case FaultKind.SLOW | FaultKind.DROPPED | FaultKind.CUT_OFF:
                return self.answer(path, values)

    def _charge(self, ledger: RequestLedger, endpoint: Endpoint, query: Query) -> Refusal | None:
        if endpoint.is_funding:
            return ledger.charge_funding(self._now_ms())
        return ledger.charge(endpoint.weight(query), self._now_ms())

    def _ask(self, endpoint: Endpoint, query: Query) -> Answer:
        try:
            return Answer(200, endpoint.answer(self._venue, query))
        except ApiError as error:
            return _error(error)

    def _refuse(self, market: MarketName, refusal: Refusal) -> Answer:
        message = (
            self._rate_limit_message(market)
            if refusal.banned_until_ms is None
            else _ban_message(market, refusal.banned_until_ms)
        )
        answer = _error(ApiError(-1003, message, refusal.status))
        return replace(answer, headers={"Retry-After": str(refusal.retry_after_s)})

    def _rate_limit_message(self, market: MarketName) -> str:
        if market == "usdm":
            return (
                f"Too many requests; current limit of IP({_CLIENT}) is {self._limits.usdm_weight} "
                "requests per minute. Please use the websocket for live updates to avoid polling "
                "the API."
            )
        return (
            f"Too much request weight used; current limit is {self._limits.spot_weight} request "
            "weight per 1 MINUTE. Please use WebSocket Streams for live updates to avoid polling "
            "the API."
        )


def _ban_message(market: MarketName, until_ms: int) -> str:
    """The end of the ban is in the text, for clients that ignore Retry-After."""
    advice = "Please use the websocket for live updates to avoid bans."
    if market == "usdm":
        return f"Way too many requests; IP({_CLIENT}) banned until {until_ms}. {advice}"
    return f"Way too much request weight used; IP banned until {until_ms}. {advice}"


def _error(error: ApiError) -> Answer:
    return Answer(error.status, error.body())
