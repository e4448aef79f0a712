"""Waiting for a prepared graph: until it is there and whole, not longer than told, stoppable."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from gnn_trainer.collecting import LOOK_EVERY_S, Waiting, collect_relations
from gnn_trainer.errors import ConfigError, DataError, StopRequested, TransientServiceError
from gnn_trainer.graph.relations import Relations
from gnn_trainer.ports import Extent, RelationSource
from gnn_trainer.progress import Progress

EDGE = {"source": "AUSDT", "target": "BUSDT"}
NODE = {"type": "node", "symbol": "AUSDT"}
PATIENCE_S = 60.0

Content = Sequence[object] | Exception


class ScriptedSource(RelationSource):
    """Has something else at each look; the last content stays."""

    name = "scripted"

    def __init__(self, *contents: Content) -> None:
        self._contents = list(contents)
        self.looks = 0
        self.reads = 0

    def extent(self) -> Extent:
        self.looks += 1
        content = self._now()
        if isinstance(content, Exception):
            raise content
        return Extent(len(content), str(content))

    def documents(self) -> Iterator[object]:
        self.reads += 1
        content = self._now()
        assert not isinstance(content, Exception)
        yield from content

    def _now(self) -> Content:
        return self._contents[min(self.looks, len(self._contents)) - 1]


@dataclass
class Watch:
    """A clock that only waiting moves, and whoever is told."""

    time_s: float = 0.0
    stop_at_s: float = float("inf")
    told: list[Progress] = field(default_factory=list)

    def pause(self, seconds: float) -> None:
        assert 0.0 < seconds <= 0.25
        self.time_s += seconds

    def waiting(self, patience_s: float = PATIENCE_S) -> Waiting:
        return Waiting(
            patience_s,
            should_stop=lambda: self.time_s >= self.stop_at_s,
            on_progress=self.told.append,
            clock=lambda: self.time_s,
            pause=self.pause,
        )


@pytest.fixture
def watch() -> Watch:
    return Watch()


def collect(source: RelationSource, waiting: Waiting) -> Relations:
    return collect_relations(source, ("AUSDT", "BUSDT"), 0, 10**12, waiting)


def test_a_graph_that_is_there_is_read_at_once(watch: Watch) -> None:
    assert collect(ScriptedSource([EDGE]), watch.waiting()).count == 1
    assert watch.time_s == 0.0
    assert watch.told == []


def test_a_graph_that_grows_is_read_when_it_has_stopped_growing(watch: Watch) -> None:
    source = ScriptedSource([], [NODE], [NODE, EDGE], [NODE, EDGE, EDGE])
    relations = collect(source, watch.waiting())
    assert relations.report.documents == 3
    assert source.reads == 1
    assert watch.time_s == pytest.approx(4 * LOOK_EVERY_S)


def test_those_who_watch_are_told_how_long_it_has_been(watch: Watch) -> None:
    collect(ScriptedSource([], [], [EDGE]), watch.waiting())
    assert [progress.done for progress in watch.told] == pytest.approx([0.0, 5.0, 10.0])
    assert {progress.total for progress in watch.told} == {PATIENCE_S}
    assert watch.told[-1].fields["documents"] == 1


@pytest.mark.parametrize("content", [[], [NODE]])
def test_patience_ends_in_an_error_that_says_what_was_there(
    watch: Watch, content: list[object]
) -> None:
    with pytest.raises(DataError, match=r"no usable relation after 60 s.*GRAPH_WAIT_S") as caught:
        collect(ScriptedSource(content), watch.waiting())
    assert ("nothing there yet" in str(caught.value)) == (not content)
    assert watch.time_s == pytest.approx(PATIENCE_S)


def test_a_graph_without_a_usable_edge_is_read_again_only_when_it_has_changed(watch: Watch) -> None:
    source = ScriptedSource([NODE], [NODE], [NODE], [NODE, EDGE])
    assert collect(source, watch.waiting()).count == 1
    assert source.reads == 2


def test_a_graph_that_never_stops_growing_is_read_when_patience_ends(watch: Watch) -> None:
    source = ScriptedSource([], *([EDGE] * count for count in range(1, 50)))
    assert collect(source, watch.waiting()).count == 1
    assert watch.time_s == pytest.approx(PATIENCE_S)


def test_no_patience_means_one_look(watch: Watch) -> None:
    source = ScriptedSource([])
    with pytest.raises(DataError):
        collect(source, watch.waiting(patience_s=0.0))
    assert source.looks == 1


def test_a_source_that_is_away_is_asked_again(watch: Watch) -> None:
    source = ScriptedSource(TransientServiceError("away"), [EDGE], [EDGE])
    assert collect(source, watch.waiting()).count == 1
    assert watch.told[0].fields["state"] == "away"


def test_a_source_that_stays_away_is_the_error_in_the_end(watch: Watch) -> None:
    with pytest.raises(TransientServiceError, match="away"):
        collect(ScriptedSource(TransientServiceError("away")), watch.waiting())
    assert watch.time_s == pytest.approx(PATIENCE_S)


def test_a_refusal_is_not_waited_out(watch: Watch) -> None:
    with pytest.raises(ConfigError):
        collect(ScriptedSource(ConfigError("wrong password")), watch.waiting())
    assert watch.time_s == 0.0


def test_a_stop_ends_the_wait_within_a_quarter_of_a_second(watch: Watch) -> None:
    watch.stop_at_s = 7.1
    with pytest.raises(StopRequested):
        collect(ScriptedSource([]), watch.waiting())
    assert watch.time_s - watch.stop_at_s < 0.25


def test_a_stop_ends_the_reading_of_a_long_graph(watch: Watch) -> None:
    class Endless(ScriptedSource):
        def documents(self) -> Iterator[object]:
            for count in range(10**9):
                if count == 1000:
                    watch.stop_at_s = 0.0
                yield EDGE

    with pytest.raises(StopRequested):
        collect(Endless([EDGE]), watch.waiting())
