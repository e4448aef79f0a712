"""Material: what a report is made of, and the parts it falls into."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gnn_trainer.evaluation.exhibits import Exhibits
from gnn_trainer.evaluation.report import EvaluationReport
from gnn_trainer.market.report import DataReport

if TYPE_CHECKING:
    from gnn_trainer.training.trained import EpochRecord


@dataclass(frozen=True)
class Material:
    """Everything a report shows; all of it is published beside the report as well.

    What is None or empty is left out: a training that was stopped was not judged, a walk-forward
    has no single course of learning.
    """

    title: str
    about: tuple[str, ...]  # paragraphs: what was trained on what
    limits: tuple[str, ...]  # what the figures do not say
    report: EvaluationReport | None
    history: "tuple[EpochRecord, ...]" = ()
    best_epoch: int = 0
    data: DataReport | None = None
    exhibits: Exhibits | None = None


@dataclass(frozen=True)
class Table:
    """Text by row and column; the first column names the row."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def to_markdown(self) -> list[str]:
        """Its lines; a bar within a cell is escaped."""
        lines = [self.columns, tuple("---" for _ in self.columns), *self.rows]
        shown = ("| " + " | ".join(c.replace("|", "\\|") for c in line) + " |" for line in lines)
        return [*([f"**{self.caption}**", ""] if self.caption else []), *shown, ""]


@dataclass(frozen=True)
class Section:
    """One question and its answer. `picture` names a drawing of `report.pictures`,
    None where a picture would show nothing."""

    title: str
    says: tuple[str, ...]  # what to see in it, a sentence or two each
    picture: str | None = None
    tables: tuple[Table, ...] = ()


def day(time_ms: int) -> str:
    """A time of the market, UTC, to the minute."""
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M}"
