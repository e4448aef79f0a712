"""One symbol's stored rows, and what of a span must still be asked for.

What is stored is read off the rows themselves, so a run killed between two pages goes on where it
was, and a file somebody deleted is fetched again. Only what rows cannot tell is kept in a note
beside them: spans that were asked for and are known to be empty, and keys delivered twice.
"""

import json
import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import polars as pl

from gnn_trainer.market.durable import storage_errors, write_whole, writing_in
from gnn_trainer.market.frame import IntArray
from gnn_trainer.market.partitions import (
    Partitioning,
    has_distinct_ascending_keys,
    read,
    upsert,
)
from gnn_trainer.market.spans import Span, merge_spans, runs, subtract_spans

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Note:
    """What the rows of a series cannot tell. Times are unix ms."""

    known_gaps: tuple[Span, ...] = ()  # asked for, and nothing is there
    duplicated: tuple[int, ...] = ()  # times delivered more than once in one delivery


@dataclass(frozen=True)
class Series:
    """Rows of one symbol in `folder`. Rows at most `longest_step_ms` apart have none between them.

    Spans are cut to whole steps of `grid_ms`; a row stands for the `grid_ms` from its time on.
    """

    folder: Path
    kind: Partitioning
    grid_ms: int
    longest_step_ms: int
    overlap_ms: int  # this much before the end of what is stored is always asked for again

    def upsert(self, rows: pl.DataFrame) -> None:
        """Store rows; of two with one key the later one wins."""
        upsert(self.kind, self.folder, rows)
        if has_distinct_ascending_keys(self.kind, rows):
            return
        twice = rows.filter(pl.struct(self.kind.key).is_duplicated())[self.kind.time_column]
        if not twice.is_empty():
            note = self.note()
            times = sorted({*note.duplicated, *twice.to_list()})
            self._keep(replace(note, duplicated=tuple(times)))

    def read(self, start_ms: int, end_ms: int) -> pl.DataFrame:
        """Rows with start_ms <= time < end_ms in time order."""
        return read(self.kind, self.folder, start_ms, end_ms)

    def missing(self, start_ms: int, end_ms: int) -> list[Span]:
        """Spans to ask for: neither stored nor known to be empty.

        When the last one reaches the end of the span it also covers the newest stored rows again,
        because an exchange may have corrected them.
        """
        whole = self._on_grid(start_ms, end_ms)
        missing = subtract_spans([whole], [*self._stored(*whole), *self.note().known_gaps])
        if missing and missing[-1][1] == whole[1]:
            last_start = max(whole[0], missing[-1][0] - self.overlap_ms)
            missing[-1] = (last_start, whole[1])
        return merge_spans(missing)

    def confirm(self, spans: Iterable[Span]) -> None:
        """Note that all there is in `spans` has been stored: what is not there does not exist."""
        asked = merge_spans(self._on_grid(*span) for span in spans)
        if not asked:
            return
        note = self.note()
        stored = self._stored(asked[0][0], asked[-1][1])
        empty = subtract_spans([*note.known_gaps, *asked], stored)
        self._keep(replace(note, known_gaps=tuple(empty)))

    def note(self) -> Note:
        """The note beside the rows; an unreadable one is as good as none."""
        with storage_errors(self._note_path):
            if not self._note_path.exists():
                return Note()
            text = self._note_path.read_text(encoding="utf-8")
        try:
            record = json.loads(text)
            gaps = tuple((int(start), int(end)) for start, end in record["known_gaps"])
            return Note(gaps, tuple(int(time) for time in record["duplicated"]))
        except (ValueError, TypeError, KeyError) as exc:
            logger.warning("%s ignored, its gaps are asked for again: %s", self._note_path, exc)
            return Note()

    @property
    def _note_path(self) -> Path:
        return self.folder / "note.json"

    def _keep(self, note: Note) -> None:
        if note == self.note():
            return
        with writing_in(self.folder):
            write_whole(self._note_path, json.dumps(asdict(note)).encode())

    def _on_grid(self, start_ms: int, end_ms: int) -> Span:
        """The whole steps inside the span."""
        return -(-start_ms // self.grid_ms) * self.grid_ms, end_ms // self.grid_ms * self.grid_ms

    def _stored(self, start_ms: int, end_ms: int) -> list[Span]:
        around = (start_ms - self.longest_step_ms, end_ms + self.longest_step_ms)
        rows = read(self.kind, self.folder, *around, columns=[self.kind.time_column])
        times: IntArray = rows.select(self.kind.key[0].alias("time"))["time"].to_numpy()
        return runs(
            times[times % self.grid_ms == 0],
            longest_step=self.longest_step_ms,
            last_length=self.grid_ms,
        )
