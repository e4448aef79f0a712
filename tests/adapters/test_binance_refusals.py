import json
from pathlib import Path

import pytest

from gnn_trainer.adapters.binance_refusals import Refusal, SymbolRefused, judge
from gnn_trainer.errors import (
    ConfigError,
    GnnTrainerError,
    RateLimited,
    ServiceBanned,
    ServiceError,
    TransientServiceError,
)

NOW_MS = 1_700_000_000_000


def judged(refusal: Refusal) -> GnnTrainerError:
    return judge(refusal, "the call", url_variable="BINANCE_API_URL", now_ms=NOW_MS)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("error_400_-1021.json", ServiceError),
        ("error_400_-1023.json", ServiceError),
        ("error_400_-1100.json", ServiceError),
        ("error_400_-1121.json", SymbolRefused),
        ("error_401_-2014.json", ConfigError),
        ("error_401_-2015.json", ConfigError),
        ("error_451_restricted.json", ConfigError),
        ("error_503_unknown.json", TransientServiceError),
        ("error_spot_418_-1003.json", ServiceBanned),
        ("error_spot_429_-1003.json", RateLimited),
        ("error_um_400_-1120_interval_1s.json", ConfigError),
        ("error_um_400_-1130_limit2000.json", ServiceError),
        ("error_um_400_-4021_depth_limit3.json", ServiceError),
        ("error_um_400_-4108.json", SymbolRefused),
        ("error_um_418_-1003.json", ServiceBanned),
        ("error_um_429_-1003.json", RateLimited),
    ],
)
def test_recorded_refusals_become_the_right_error(
    recorded_data: Path, name: str, kind: type[GnnTrainerError]
) -> None:
    body = json.loads((recorded_data / "rest_samples" / name).read_text(encoding="utf-8"))
    status = int(name.removeprefix("error_").removeprefix("spot_").removeprefix("um_")[:3])
    error = judged(Refusal(status, body["code"], body["msg"]))
    assert type(error) is kind
    assert "the call" in str(error)
    assert body["msg"] in str(error)


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
def test_trouble_on_the_server_side_passes(status: int) -> None:
    assert judged(Refusal(status)).is_transient


@pytest.mark.parametrize("code", [-1000, -1001, -1006, -1007, -1008, -1015])
def test_some_codes_pass_whatever_their_status(code: int) -> None:
    assert judged(Refusal(400, code)).is_transient


@pytest.mark.parametrize("code", [-1002, -1022, -2014, -2015])
def test_refused_credentials_name_their_variables(code: int) -> None:
    assert "BINANCE_API_KEY" in str(judged(Refusal(400, code)))


@pytest.mark.parametrize(
    ("status", "words"), [(403, "firewall"), (404, "BINANCE_API_URL"), (451, "location")]
)
def test_a_refusal_without_a_body_is_judged_by_its_status(status: int, words: str) -> None:
    error = judged(Refusal(status))
    assert type(error) is ConfigError
    assert words in str(error)


@pytest.mark.parametrize(
    ("refusal", "until_ms"),
    [
        (Refusal(418, -1003, "IP banned until 1787071659262. Please", 3), NOW_MS + 3_000),
        (Refusal(418, -1003, "IP banned until 1787071659262. Please"), 1787071659262),
        (Refusal(418), NOW_MS + 120_000),
    ],
)
def test_the_end_of_a_ban_is_taken_from_header_then_text_then_the_shortest_ban(
    refusal: Refusal, until_ms: int
) -> None:
    error = judged(refusal)
    assert isinstance(error, ServiceBanned)
    assert error.until_ms == until_ms


def test_a_ban_tells_people_the_hour_it_ends() -> None:
    assert "banned until 2023-11-14 22:15:20+00:00" in str(judged(Refusal(418)))


@pytest.mark.parametrize(("told", "waits"), [(7, 7), (None, 60), (0, 60)])
def test_without_a_usable_retry_after_the_wait_is_a_minute(told: int | None, waits: int) -> None:
    error = judged(Refusal(429, -1003, "Too many requests", told))
    assert isinstance(error, RateLimited)
    assert error.retry_after_s == waits
