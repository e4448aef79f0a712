"""The one place where events are made: numbered, paced, kept until they arrived."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from gnn_trainer.ports import EventSink
from gnn_trainer.progress import Progress
from gnn_trainer.telemetry.events import TERMINAL, Event, Extra, Identity, Status
from gnn_trainer.telemetry.journal import Journal
from gnn_trainer.telemetry.lineup import SPACING_S, Draft, Lineup, Pong
from gnn_trainer.telemetry.outbox import Outbox
from gnn_trainer.telemetry.scrub import plain, scrub

logger = logging.getLogger(__name__)

_SHORTEST_LISTEN_S, _LONGEST_LISTEN_S = 0.05, 1.0  # for outcomes of events on their way
_EXACT = frozenset({"stage", "bucket", "prefix", "version", "manifest_sha256"})  # names, not prose


@dataclass(frozen=True)
class Delivery:
    """What became of the events: arrived, and not (kept for the next run, or dropped)."""

    sent: int
    undelivered: int


class Reporter:
    """Tells the world what one attempt of a run does. Methods return at once and never raise.

    Events leave from a thread of its own, at most one a second; of `loading` events that come
    faster the newest wins. A run ends once: what is reported after an ending is ignored. An
    attempt that was killed, or whose run is tried again, is carried on: `seq` and `attempt` come
    from its journal.
    """

    def __init__(
        self,
        identity: Identity,
        sink: EventSink,
        journal: Journal,
        *,
        private_texts: Sequence[str] = (),
        attempt: int = 1,
        same_attempt: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`attempt` is the least this attempt can be; above 1, an earlier one is carried on even
        if its ending was told. `same_attempt`: speak for the attempt that
        was killed, to end it, instead of beginning another."""
        self._identity = identity
        self._sink = sink
        self._journal = journal
        self._private_texts = tuple(private_texts)
        self._clock = clock
        self._outbox = Outbox(identity.queue_id, sink)
        past = journal.past
        carried_on = past is not None and (past.is_abandoned or attempt > 1)
        self.attempt = attempt
        self._seq, self._timestamp, self._has_ended = 0, 0.0, False
        if past is not None:
            self._timestamp = past.timestamp
            for value in past.undelivered:
                self._outbox.add(value.encode(), may_drop=True)
        if past is not None and carried_on:
            self._seq = past.seq
            self.attempt = past.attempt if same_attempt else max(attempt, past.attempt + 1)
        self.previous_end_s = past.timestamp if past is not None and past.ended else None
        self._first_seq = self._seq
        self._saved = (self._seq, 0, 0)
        self._lineup = Lineup(has_started=same_attempt)
        self._changed = threading.Condition()
        self._newest_stage = "starting"
        self._close_by: float | None = None
        self._listen_s = _SHORTEST_LISTEN_S
        self._thread = threading.Thread(target=self._work, name="telemetry", daemon=True)
        self._thread.start()

    def started(self, message: str, **extra: object) -> bool:
        """The first event; whether it is the first."""
        return self._put("started", message, "starting", extra)

    def loading(
        self, stage: str, message: str, progress: float | None = None, **extra: object
    ) -> bool:
        """How far the run has come; `progress` is the share of the stage, 0 to 1."""
        given = {} if progress is None else {"progress": min(1.0, max(0.0, progress))}
        return self._put("loading", message, stage, given | extra)

    def on_progress(self, progress: Progress, /) -> None:
        """A ProgressListener: the same as `loading`."""
        share = min(1.0, max(0.0, progress.fraction))
        fields = {**progress.fields, "progress": share}
        self._put("loading", progress.stage, progress.stage, fields)

    def pong(self, sent_at: Pong) -> None:
        """Answer a ping with the next event."""
        with self._changed:
            self._lineup.ping(sent_at)
            self._changed.notify()

    def finished(self, message: str, **extra: object) -> bool:
        """The ending of a success; whether it is the ending of this run."""
        return self._put("finished", message, "finished", extra)

    def interrupted(self, message: str, **extra: object) -> bool:
        """The ending of a run that was asked to stop; whether it is the ending of this run."""
        return self._put("interrupted", message, None, extra)

    def error(self, error_type: str, message: str, **extra: object) -> bool:
        """The ending of a failure; whether it is the ending of this run."""
        return self._put("error", message, None, {"error_type": error_type} | extra)

    @property
    def has_ended(self) -> bool:
        """Whether an ending was reported."""
        with self._changed:
            return self._lineup.has_ended

    def close(self, timeout_s: float = 5.0) -> Delivery:
        """Send what waits, give the sink `timeout_s` to deliver it, and stop.

        What is still undelivered then is in the journal, for the next run of this queue_id.
        Without an ending the run counts as killed: another attempt carries on.
        """
        with self._changed:
            if self._close_by is None:
                self._close_by = time.monotonic() + timeout_s
            self._changed.notify()
        self._thread.join()
        undelivered = len(self._outbox.undelivered) + self._outbox.dropped
        if undelivered:
            logger.warning("%d telemetry events were not delivered", undelivered)
        return Delivery(self._outbox.delivered, undelivered)

    def _put(
        self, status: Status, message: str, stage: str | None, extra: Mapping[str, object]
    ) -> bool:
        with self._changed:
            # A bad ending has no stage of its own: it says what the run was doing.
            was_idle = self._lineup.due_in(0.0) is None
            taken = self._lineup.put(Draft(status, message, stage or self._newest_stage, extra))
            if taken:
                self._newest_stage = stage or self._newest_stage
            if taken and was_idle:  # else the thread wakes when its event is due, and not before
                self._changed.notify()
            return taken

    def _work(self) -> None:
        """The thread: take drafts when they are due, hear what arrived, until closed."""
        while not self._is_done():
            with self._changed:
                self._changed.wait(self._pause_s())
                draft = self._lineup.take(time.monotonic())
                wait_s = 0.0 if self._close_by is None else _SHORTEST_LISTEN_S
            self._listen_s = min(2 * self._listen_s, _LONGEST_LISTEN_S)
            if draft is not None:
                self._emit(draft)
                self._listen_s = _SHORTEST_LISTEN_S
            self._outbox.push(time.monotonic(), wait_s)
            self._remember()
        self._sink.close()
        self._remember()
        self._journal.close()

    def _is_done(self) -> bool:
        with self._changed:
            if self._close_by is None or self._lineup.due_in(0.0) is not None:
                return False
            return not self._outbox.undelivered or time.monotonic() > self._close_by

    def _pause_s(self) -> float | None:
        """How long nothing needs doing; None: until somebody reports something."""
        due_s = self._lineup.due_in(time.monotonic())
        if self._close_by is not None:
            return min(due_s or 0.0, _SHORTEST_LISTEN_S)
        if self._outbox.undelivered:
            return self._listen_s if due_s is None else min(due_s, self._listen_s)
        return due_s

    def _emit(self, draft: Draft) -> None:
        self._seq += 1
        self._timestamp = max(self._clock(), self._timestamp + SPACING_S)
        self._has_ended = draft.status in TERMINAL
        may_drop = draft.status == "loading"
        self._outbox.add(self._event(draft).to_bytes(), may_drop=may_drop)
        self._remember()  # before it leaves: a number is never used twice

    def _event(self, draft: Draft) -> Event:
        own = {"seq": self._seq, "attempt": self.attempt, "stage": draft.stage}
        extra = {
            name: value if name in _EXACT else plain(value, self._private_texts)
            for name, value in draft.extra.items()
        }
        try:
            checked = Extra.model_validate({**extra, **own})
        except ValidationError as exc:
            logger.warning("extra of an event left out: %s", exc.errors(include_input=False))
            checked = Extra.model_validate(own)
        return Event(
            queue_id=self._identity.queue_id,
            symbol=self._identity.symbol,
            type=self._identity.type,
            status=draft.status,
            message=scrub(draft.message, self._private_texts),
            finished=draft.status in TERMINAL,
            producer=self._identity.producer,
            timestamp=self._timestamp,
            extra=checked,
        )

    def _remember(self) -> None:
        """Save what changed. A run that reported nothing leaves the past as it was."""
        state = (self._seq, self._outbox.delivered, self._outbox.dropped)
        if state == self._saved or self._seq == self._first_seq:
            return
        self._saved = state
        self._journal.save(
            attempt=self.attempt,
            seq=self._seq,
            timestamp=self._timestamp,
            ended=self._has_ended,
            undelivered=[value.decode() for value in self._outbox.undelivered],
        )
