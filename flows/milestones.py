"""What a run makes known through Prefect's events, for automations to act upon.

Every event is about the model (`gnn-trainer.model.<model name>`), and Prefect relates it to the
flow run, its deployment and its tags.
"""

from collections.abc import Mapping

from prefect.events import emit_event

PUBLISHED = "gnn-trainer.model.published"
PROMOTED = "gnn-trainer.gate.promoted"
REFUSED = "gnn-trainer.gate.refused"
DRIFT = "gnn-trainer.drift.detected"  # told to us, not by us: by whoever watches the predictions


def tell_published(model_name: str, version: str, figures: Mapping[str, float | str]) -> None:
    """A version is in the store."""
    _tell(PUBLISHED, model_name, {"version": version, **figures})


def tell_verdict(
    model_name: str, version: str, *, promoted: bool, reasons: tuple[str, ...]
) -> None:
    """The version became champion, or may not: `reason` says why."""
    event = PROMOTED if promoted else REFUSED
    _tell(event, model_name, {"version": version, "reason": "; ".join(reasons)})


def resource_of(model_name: str) -> str:
    return f"gnn-trainer.model.{model_name}"


def _tell(event: str, model_name: str, payload: Mapping[str, object]) -> None:
    resource = {"prefect.resource.id": resource_of(model_name), "prefect.resource.name": model_name}
    emit_event(event, resource, payload=dict(payload))
