"""trials.json: how many models were judged under a name, whatever became of them.

The best of many trials looks good by luck; the gate and the deflated Sharpe ratio need the count.
A trial is named after the weights it judged, so judging the same model again adds nothing.
"""

import hashlib

from pydantic import BaseModel, ConfigDict, ValidationError

from gnn_trainer.artifact.bundle import WEIGHTS, Bundle
from gnn_trainer.artifact.manifest import MANIFEST
from gnn_trainer.ports import ModelStore

TRIALS = "trials.json"


class Trials(BaseModel):
    """The contents of trials.json; names in the order they were first judged."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    trials: tuple[str, ...] = ()


def trial_name(bundle: Bundle) -> str:
    """16 hex of the weights' sha256."""
    return hashlib.sha256(bundle.to_files()[WEIGHTS]).hexdigest()[:16]


def count_trial(store: ModelStore, model_name: str, trial: str) -> int:
    """Note a trial, once, and return how many there are of this model name.

    Versions in the store that were published before anybody counted count as well. A damaged
    file is begun anew.

    Raises:
        ConfigError, ServiceError: the store refuses, or is away.
    """
    known: tuple[str, ...] = ()

    def add(data: bytes | None) -> bytes | None:
        nonlocal known
        known = _parse(data)
        if trial in known:
            return None
        known = (*known, trial)
        return Trials(trials=known).model_dump_json(indent=2).encode()

    store.update(f"{model_name}/{TRIALS}", add)
    versions = sum(key.endswith(f"/{MANIFEST}") for key in store.keys(f"{model_name}/"))
    return max(len(known), versions)


def _parse(data: bytes | None) -> tuple[str, ...]:
    try:
        return () if data is None else Trials.model_validate_json(data).trials
    except ValidationError:
        return ()
