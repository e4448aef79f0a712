"""AuditReport: what the leak audit looked at, and every leak it found, by name."""

from dataclasses import asdict, dataclass, field
from typing import Any

from gnn_trainer.errors import LeakFound

MAX_NAMED = 40  # breaches of one check that are told one by one


@dataclass(frozen=True)
class Check:
    """One question put to one step of the run; no breach means that it passed."""

    step: str  # what was questioned: bars, features, edges, relations, labels, split, fit, ...
    test: str  # how: truncation, poison, definition, split, replay, label shuffle, ...
    compared: int  # values, rows or draws that were compared
    breaches: tuple[str, ...] = ()  # each names what is wrong, and where
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return not self.breaches


@dataclass(frozen=True)
class AuditReport:
    """All checks of one audit, and what looks strange without being a proof of anything."""

    checks: tuple[Check, ...]
    suspicions: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    @property
    def breaches(self) -> tuple[str, ...]:
        """Every breach with the step and the test it failed."""
        return tuple(
            f"{check.step} ({check.test}): {breach}"
            for check in self.checks
            for breach in check.breaches
        )

    def joined(self, other: "AuditReport") -> "AuditReport":
        """Both as one."""
        return AuditReport(self.checks + other.checks, self.suspicions + other.suspicions)

    def require_passed(self) -> None:
        """Let a run go on only without a leak.

        Raises:
            LeakFound: any check was breached; the message names every one.
        """
        if not self.passed:
            raise LeakFound(self.breaches)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `passed` included."""
        return {**asdict(self), "passed": self.passed}


def check_of(
    step: str,
    test: str,
    compared: int,
    breaches: list[str],
    figures: dict[str, float] | None = None,
) -> Check:
    """A Check that tells the first breaches one by one and counts the rest."""
    told = tuple(breaches[:MAX_NAMED])
    if len(breaches) > MAX_NAMED:
        told += (f"and {len(breaches) - MAX_NAMED} more",)
    return Check(step, test, int(compared), told, figures or {})
