"""Whose command it is, and which messages are none."""

import json

import pytest

from gnn_trainer.telemetry.commands import Command, GarbageCommand, parse_command
from gnn_trainer.telemetry.events import Identity

US = Identity("queue-1", "MARKET_GRAPH", "gnn_model_training", "gnn-trainer__abc")
STOP = {"command": "stop", "queue_id": "queue-1"}


def parsed(document: object) -> Command | None:
    return parse_command(json.dumps(document).encode(), US)


@pytest.mark.parametrize(
    "document",
    [
        STOP,
        STOP | {"queue_id": "*"},
        STOP | {"target": "gnn-trainer"},
        STOP | {"telemetry_id": "gnn-trainer__abc", "target": None},
        STOP | {"unknown": [1, {}], "payload": {}, "sent_at": [1]},
    ],
)
def test_a_command_for_us_is_taken(document: object) -> None:
    assert parsed(document) == Command("stop", None, "")


@pytest.mark.parametrize(
    "document",
    [
        STOP | {"queue_id": "queue-10"},
        STOP | {"queue_id": ""},
        STOP | {"target": "loader"},
        STOP | {"queue_id": "*", "telemetry_id": "gnn-trainer__xyz"},
        STOP | {"command": "start"},
        STOP | {"command": "STOP"},
    ],
)
def test_a_command_for_others_is_left_to_them(document: object) -> None:
    assert parsed(document) is None


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"\xff\xfe",
        b"{",
        b"[" * 100_000,
        b"[]",
        b'"stop"',
        b"null",
        b"{}",
        b'{"command": "stop"}',
        b'{"command": ["stop"], "queue_id": "queue-1"}',
        b'{"command": "stop", "queue_id": 1}',
        b'{"command": "stop", "queue_id": "*", "target": {}}',
    ],
)
def test_garbage_is_told_from_commands(value: bytes | None) -> None:
    with pytest.raises(GarbageCommand):
        parse_command(value, US)


@pytest.mark.parametrize("sent_at", [12, 1.5, "2024-01-01T00:00:00Z", None])
def test_a_ping_keeps_what_it_carried(sent_at: object) -> None:
    ping = parsed({"command": "ping", "queue_id": "*", "sent_at": sent_at})
    assert ping == Command("ping", sent_at, "")  # type: ignore[arg-type]


def test_a_reason_is_kept_and_cut() -> None:
    command = parsed(STOP | {"reason": "x" * 1000})
    assert command is not None
    assert command.reason == "x" * 200
