"""The event on the wire. `event.schema.json` beside this file is the same as JSON Schema."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

Status = Literal["started", "loading", "interrupted", "error", "finished"]
TERMINAL: tuple[Status, ...] = ("interrupted", "error", "finished")

_TERMINAL_IFF_FINISHED: dict[str, Any] = {
    "if": {"properties": {"status": {"enum": list(TERMINAL)}}},
    "then": {"properties": {"finished": {"const": True}}},
    "else": {"properties": {"finished": {"const": False}}},
}


@dataclass(frozen=True)
class Identity:
    """Whose events these are."""

    queue_id: str
    symbol: str
    type: str
    producer: str


class Extra(BaseModel):
    """What goes with an event: always `seq`, `attempt` and `stage`; the rest where it applies."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    seq: Annotated[int, Field(ge=1, description="1, 2, 3, ... over all attempts of a run.")]
    attempt: Annotated[int, Field(ge=1, description="1, and one more after each kill.")]
    stage: Annotated[str, Field(min_length=1, description="What the run was doing.")]
    progress: Annotated[
        float | None, Field(ge=0.0, le=1.0, description="Share of the stage that is done.")
    ] = None
    epoch: Annotated[int | None, Field(ge=0, description="Epochs trained.")] = None
    epochs: Annotated[int | None, Field(ge=1, description="Most epochs there will be.")] = None
    loss: Annotated[float | None, Field(description="Mean training loss of the epoch.")] = None
    val_rank_ic: Annotated[float | None, Field(description="RankIC on the validation span.")] = None
    eta_s: Annotated[float | None, Field(ge=0.0, description="Seconds left in training.")] = None
    pong: Annotated[
        int | float | str | None, Field(description="Answer to a ping: the `sent_at` it carried.")
    ] = None
    bucket: Annotated[str | None, Field(description="Where the model was published.")] = None
    prefix: Annotated[str | None, Field(description="Its folder there.")] = None
    version: Annotated[str | None, Field(description="<UTC time>-<8 hex>.")] = None
    manifest_sha256: Annotated[str | None, Field(pattern="^[0-9a-f]{64}$")] = None
    promoted: Annotated[bool | None, Field(description="Whether it is the new champion.")] = None
    error_type: Annotated[str | None, Field(description="Name of the error, for machines.")] = None


class Event(BaseModel):
    """One message on the topic of events: exactly these fields."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        json_schema_extra=_TERMINAL_IFF_FINISHED,
    )

    queue_id: str
    symbol: str
    type: str
    status: Status
    message: str
    finished: Annotated[bool, Field(description="True on the last event of a run, and only there.")]
    producer: str
    timestamp: Annotated[float, Field(description="Unix seconds.")]
    extra: Extra

    @model_validator(mode="after")
    def _finished_is_terminal(self) -> Self:
        if self.finished != (self.status in TERMINAL):
            raise ValueError(f"finished={self.finished} contradicts status {self.status!r}")
        return self

    def to_bytes(self) -> bytes:
        """JSON in UTF-8; `extra` fields that were not given are left out."""
        return self.model_dump_json(exclude_unset=True).encode()


EVENT_SCHEMA: dict[str, JsonValue] = json.loads(
    Path(__file__).with_name("event.schema.json").read_bytes()
)
