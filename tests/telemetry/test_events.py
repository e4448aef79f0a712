"""The event on the wire and its published schema."""

import json
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from gnn_trainer.telemetry.events import EVENT_SCHEMA, Event, Extra, Status

TOP_LEVEL = (
    *("queue_id", "symbol", "type", "status", "message"),
    *("finished", "producer", "timestamp", "extra"),
)


def document(status: str = "loading", *, finished: bool = False, **extra: Any) -> dict[str, Any]:
    numbered = {"seq": 2, "attempt": 1, "stage": "training"} | extra
    return dict(
        zip(TOP_LEVEL, ("q", "S", "t", status, "m", finished, "p", 1.5, numbered), strict=True)
    )


def test_the_published_schema_is_that_of_the_model() -> None:
    assert Event.model_json_schema() == EVENT_SCHEMA


def test_an_event_has_exactly_the_agreed_fields() -> None:
    event = Event.model_validate(document(loss=0.5))
    sent = json.loads(event.to_bytes())
    assert sent == document(loss=0.5)
    jsonschema.validate(sent, EVENT_SCHEMA)


@pytest.mark.parametrize(
    "wrong",
    [
        document("finished"),
        document("error", finished=False),
        document("loading", finished=True),
        document("started", finished=True),
        document("pong"),
        document() | {"event": "loading"},
        {name: value for name, value in document().items() if name != "producer"},
        document(seq=0),
        document(attempt=0),
        document(stage=""),
        document(progress=1.1),
        document(manifest_sha256="short"),
        document() | {"extra": {"seq": 1}},
    ],
)
def test_model_and_schema_refuse_the_same(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Event.model_validate(wrong)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, EVENT_SCHEMA)


@pytest.mark.parametrize("status", ["finished", "interrupted", "error"])
def test_an_ending_is_finished(status: Status) -> None:
    wire = Event.model_validate(document(status, finished=True)).to_bytes()
    jsonschema.validate(json.loads(wire), EVENT_SCHEMA)


def test_a_number_that_json_cannot_say_is_refused() -> None:
    with pytest.raises(ValidationError):
        Extra(seq=1, attempt=1, stage="training", loss=float("nan"))
