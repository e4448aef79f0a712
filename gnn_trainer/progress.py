"""How far a stage has come, told to whoever shows it: a terminal, a log, an artifact."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Progress:
    """How far a stage has come. `fields` are the figures worth showing, by name."""

    stage: str
    done: float
    total: float
    fields: Mapping[str, float | int | str] = field(default_factory=dict)

    @property
    def fraction(self) -> float:
        return self.done / self.total if self.total else 0.0


class ProgressListener(Protocol):
    """Told about progress; must return at once and never raise."""

    def __call__(self, progress: Progress, /) -> None: ...
