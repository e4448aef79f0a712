"""Events on their way: kept in order until the sink says that they arrived, never too many."""

from dataclasses import dataclass, field

from gnn_trainer.ports import EventSink

MOST_KEPT = 1000  # events; a quarter of an hour at the fastest pace
_MOST_HANDED_OVER = 100  # what the sink holds can no longer be dropped by us
_RETRY_S = 2.0


@dataclass(eq=False)
class _Letter:
    value: bytes
    may_drop: bool
    handed_over: bool = field(default=False)


class Outbox:
    """Used by one thread. `delivered` and `dropped` only grow."""

    def __init__(self, key: str, sink: EventSink, most_kept: int = MOST_KEPT) -> None:
        self._key = key
        self._sink = sink
        self._most_kept = most_kept
        self._letters: list[_Letter] = []
        self._now = self._retry_at = float("-inf")
        self.delivered = 0
        self.dropped = 0

    def add(self, value: bytes, *, may_drop: bool) -> None:
        """Queue an event. When there are too many, the oldest that may be dropped goes."""
        self._letters.append(_Letter(value, may_drop))
        if len(self._letters) > self._most_kept:
            self._drop_one()

    def push(self, now: float, wait_s: float = 0.0) -> None:
        """Hand over what may be handed over, hear outcomes for up to `wait_s`."""
        self._now = now
        for letter in self._letters[:_MOST_HANDED_OVER]:
            if now < self._retry_at:
                break  # the sink refused one, and later ones must not overtake it
            if not letter.handed_over:
                self._hand_over(letter)
        self._sink.flush(wait_s)

    @property
    def undelivered(self) -> tuple[bytes, ...]:
        return tuple(letter.value for letter in self._letters)

    def _hand_over(self, letter: _Letter) -> None:
        def on_outcome(arrived: bool) -> None:
            if arrived:
                self._letters.remove(letter)
                self.delivered += 1
            else:
                letter.handed_over = False
                self._retry_at = self._now + _RETRY_S

        letter.handed_over = True
        self._sink.send(self._key, letter.value, on_outcome)

    def _drop_one(self) -> None:
        candidates = (item for item in self._letters if item.may_drop and not item.handed_over)
        victim = next(candidates, None)
        if victim is not None:
            self._letters.remove(victim)
            self.dropped += 1
