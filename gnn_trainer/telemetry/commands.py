"""Commands on the control topic: whose they are, and what is wrong with the garbage among them."""

import json
from dataclasses import dataclass
from typing import Any, Literal, get_args

from gnn_trainer.telemetry.events import Identity
from gnn_trainer.telemetry.lineup import Pong

TARGET = "gnn-trainer"
EVERYBODY = "*"
CommandName = Literal["stop", "ping"]
_LONGEST_ECHO = 200


@dataclass(frozen=True)
class Command:
    """Something this run was told."""

    name: CommandName
    sent_at: Pong  # as the sender wrote it; None if it wrote none
    reason: str


class GarbageCommand(ValueError):
    """A message on the control topic that nobody can read; says why, never what it was."""


def parse_command(value: bytes | None, identity: Identity) -> Command | None:
    """The command in a message, or None if it is for somebody else or not one of ours.

    Raises:
        GarbageCommand: not JSON, no object, or fields of wrong types.
    """
    document = _object(value)
    name = _text(document, "command")
    queue_id = _text(document, "queue_id")
    if name is None or queue_id is None:
        raise GarbageCommand("no `command` or no `queue_id`")
    selectors = (("target", TARGET), ("telemetry_id", identity.producer))
    narrowed = [(_text(document, selector), own) for selector, own in selectors]
    is_ours = queue_id in (EVERYBODY, identity.queue_id) and all(
        wanted in (None, EVERYBODY, own) for wanted, own in narrowed
    )
    for known in get_args(CommandName):
        if is_ours and name == known:
            return Command(known, _echo(document.get("sent_at")), _reason(document))
    return None


def _object(value: bytes | None) -> dict[str, Any]:
    try:
        document = json.loads(value or b"")
    except (ValueError, RecursionError) as exc:
        raise GarbageCommand("not JSON") from exc
    if not isinstance(document, dict):
        raise GarbageCommand(f"a JSON {type(document).__name__} where an object was expected")
    return document


def _text(document: dict[str, Any], field: str) -> str | None:
    found = document.get(field)
    if found is not None and not isinstance(found, str):
        raise GarbageCommand(f"`{field}` is a {type(found).__name__} where text was expected")
    return found


def _echo(sent_at: object) -> Pong:
    if isinstance(sent_at, str):
        return sent_at[:_LONGEST_ECHO]
    if isinstance(sent_at, int | float) and not isinstance(sent_at, bool):
        return sent_at
    return None


def _reason(document: dict[str, Any]) -> str:
    reason = document.get("reason")
    return reason[:_LONGEST_ECHO] if isinstance(reason, str) else ""
