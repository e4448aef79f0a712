"""An EventSink that keeps what it is sent, and can be told to refuse."""

import json
from collections.abc import Callable
from typing import Any

from gnn_trainer.ports import EventSink
from gnn_trainer.telemetry.events import Event, Identity

IDENTITY = Identity("queue-1", "MARKET_GRAPH", "gnn_model_training", "gnn-trainer__abc")


class Recorder(EventSink):
    def __init__(self, *, is_away: bool = False) -> None:
        self.is_away = is_away
        self.values: list[bytes] = []
        self.keys: set[str] = set()
        self.refused = 0

    def send(self, key: str, value: bytes, on_outcome: Callable[[bool], None]) -> None:
        if self.is_away:
            self.refused += 1
        else:
            self.keys.add(key)
            self.values.append(value)
        on_outcome(not self.is_away)

    def flush(self, timeout_s: float) -> int:
        return 0

    def close(self) -> None:
        pass

    @property
    def events(self) -> list[dict[str, Any]]:
        """What arrived, each checked against the model."""
        for value in self.values:
            Event.model_validate_json(value)
        return [json.loads(value) for value in self.values]

    def told(self, field: str) -> list[Any]:
        """One field of every event, from the top or from `extra`."""
        return [event[field] if field in event else event["extra"][field] for event in self.events]
