"""The figures of one run: what each stage took and brought, and how good the model is."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Outcome = Literal["finished", "interrupted", "error"]


@dataclass(frozen=True)
class Stage:
    """One finished task: `state` is Prefect's word, `Cached` if an earlier result was taken.

    `counts` says how much there is of what it makes: rows, edges, epochs.
    """

    name: str
    state: str
    seconds: float
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_cached(self) -> bool:
        return self.state == "Cached"

    @property
    def made(self) -> str:
        """The counts in words."""
        return ", ".join(f"{count:,} {what}" for what, count in self.counts.items())

    def __str__(self) -> str:
        how = "an earlier result, " if self.is_cached else ""
        return f"{self.name}: {self.made or 'done'} ({how}{self.seconds:.1f} s)"


@dataclass
class Measurements:
    """Collected while the run goes on. `outcome` and `seconds` come last."""

    model_name: str
    source: str
    interval: str
    stages: list[Stage] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)  # of the model, by metric name
    outcome: Outcome = "error"
    seconds: float = 0.0
    ended_s: float = 0.0  # unix
    _began_s: float = field(default_factory=time.monotonic)

    def judge(self, figures: Mapping[str, float | str]) -> None:
        """Keep the figures that are numbers."""
        self.figures |= {
            name: value
            for name, value in figures.items()
            if not isinstance(value, str) and math.isfinite(value)
        }

    def end(self, outcome: Outcome) -> None:
        """The run is over."""
        self.outcome = outcome
        self.seconds = time.monotonic() - self._began_s
        self.ended_s = time.time()
