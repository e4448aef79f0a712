"""What one attempt says: numbered, paced, with one ending, and carried on after a kill."""

import json
import threading
import time
from pathlib import Path

import pytest

from gnn_trainer.progress import Progress
from gnn_trainer.telemetry.journal import open_journal
from gnn_trainer.telemetry.reporter import Delivery, Reporter
from tests.telemetry.recorder import IDENTITY, Recorder

QUEUE = IDENTITY.queue_id


def reporter(
    folder: Path, sink: Recorder, *, attempt: int = 1, same_attempt: bool = False
) -> Reporter:
    journal = open_journal(folder, QUEUE, time.time())
    return Reporter(
        IDENTITY,
        sink,
        journal,
        private_texts=["hush-hush", "bob"],
        attempt=attempt,
        same_attempt=same_attempt,
    )


def test_a_run_is_a_numbered_stream_with_one_ending(tmp_path: Path) -> None:
    sink = Recorder()
    run = reporter(tmp_path, sink)
    run.started("here I am")
    for epoch in range(50):
        run.on_progress(Progress("training", epoch, 50, {"epoch": epoch, "loss": 0.5}))
    assert run.finished("published", bucket="models", promoted=False)
    assert not run.error("TrainingDiverged", "too late")
    assert run.close() == Delivery(sent=2, undelivered=0)
    assert sink.keys == {QUEUE}
    assert sink.told("status") == ["started", "finished"]
    assert sink.told("finished") == [False, True]
    assert sink.told("seq") == [1, 2]
    assert sink.events[1]["extra"]["bucket"] == "models"
    first, second = sink.told("timestamp")
    assert int(second) > int(first)
    assert abs(second - time.time()) < 5


def test_progress_becomes_a_loading_event_with_its_figures(tmp_path: Path) -> None:
    sink = Recorder()
    run = reporter(tmp_path, sink)
    run.started("")
    run.on_progress(
        Progress("training", 3, 4, {"epoch": 3, "stage": "clash", "loss": float("nan")})
    )
    run.close()
    extra = sink.events[1]["extra"]
    assert extra == {
        "seq": 2, "attempt": 1, "stage": "training", "progress": 0.75, "epoch": 3, "loss": None,
    }  # fmt: skip


def test_of_many_who_end_a_run_at_once_one_does(tmp_path: Path) -> None:
    sink = Recorder()
    run = reporter(tmp_path, sink)
    start, taken = threading.Barrier(6), []

    def end(number: int) -> None:
        start.wait()
        endings = (run.finished, run.interrupted, lambda text: run.error("X", text))
        if endings[number % 3](str(number)):
            taken.append(str(number))

    threads = [threading.Thread(target=end, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run.close()
    assert sink.told("finished") == [False, True]
    assert [sink.told("message")[1]] == taken


def test_an_error_says_where_it_happened_and_nothing_secret(tmp_path: Path) -> None:
    sink = Recorder()
    run = reporter(tmp_path, sink)
    run.started("")
    run.loading("fetching", "pages of bob", progress=0.5)
    run.error("ServiceError", "bob:hush-hush at https://host:9/x?k=hush-hush", hint=["hush-hush"])
    run.close()
    event = sink.events[-1]
    assert (event["extra"]["stage"], event["extra"]["error_type"]) == ("fetching", "ServiceError")
    assert "***:*** at <address>" in event["message"]
    assert not any(word in json.dumps(sink.events) for word in ("hush", "bob", "host"))


def test_a_ping_is_answered(tmp_path: Path) -> None:
    sink = Recorder()
    run = reporter(tmp_path, sink)
    run.started("")
    run.pong(1234)
    run.close()
    assert sink.events[1]["extra"]["pong"] == 1234
    assert sink.events[1]["status"] == "loading"


def test_after_a_kill_the_next_attempt_carries_on_and_loses_nothing(tmp_path: Path) -> None:
    away, sink = Recorder(is_away=True), Recorder()
    killed = reporter(tmp_path, away)
    killed.started("first")
    assert killed.close(timeout_s=0.1) == Delivery(sent=0, undelivered=1)
    run = reporter(tmp_path, sink)
    run.started("second")
    run.finished("done")
    assert run.close() == Delivery(sent=3, undelivered=0)
    assert sink.told("message") == ["first", "second", "done"]
    assert sink.told("seq") == [1, 2, 3]
    assert sink.told("attempt") == [1, 2, 2]
    assert sink.told("status") == ["started", "started", "finished"]
    seconds = [int(moment) for moment in sink.told("timestamp")]
    assert len(set(seconds)) == 3


def test_after_an_ending_a_run_begins_anew_and_knows_when_that_was(tmp_path: Path) -> None:
    first, second = Recorder(), Recorder()
    run = reporter(tmp_path, first)
    run.interrupted("stopped")
    run.close()
    run = reporter(tmp_path, second)
    run.started("again")
    run.close()
    assert (second.told("seq"), second.told("attempt")) == ([1], [1])
    assert run.previous_end_s == first.told("timestamp")[-1]
    assert second.told("timestamp") > first.told("timestamp")[-1:]


def test_a_run_that_is_tried_again_after_its_ending_goes_on_counting(tmp_path: Path) -> None:
    sink = Recorder()
    run = reporter(tmp_path, sink)
    run.error("Crashed", "killed")
    run.close()
    run = reporter(tmp_path, sink, attempt=2)
    run.finished("done")
    run.close()
    assert sink.told("status") == ["started", "error", "started", "finished"]
    assert sink.told("seq") == [1, 2, 3, 4]
    assert sink.told("attempt") == [1, 1, 2, 2]


def test_a_killed_attempt_can_be_ended_by_somebody_else(tmp_path: Path) -> None:
    sink = Recorder()
    killed = reporter(tmp_path, sink)
    killed.started("")
    killed.close()
    last = reporter(tmp_path, sink, same_attempt=True)
    last.error("Crashed", "killed")
    last.close()
    assert sink.told("status") == ["started", "error"]
    assert (sink.told("seq"), sink.told("attempt")) == ([1, 2], [1, 1])


def test_a_sink_that_comes_back_gets_everything_in_order(tmp_path: Path) -> None:
    sink = Recorder(is_away=True)
    run = reporter(tmp_path, sink)
    run.started("")
    run.finished("")
    closing = threading.Thread(target=run.close, args=(15.0,))
    closing.start()
    sink.is_away = False
    closing.join(20.0)
    assert sink.told("seq") == [1, 2]


@pytest.mark.parametrize(
    "extra", [{"progress": 7}, {"epoch": "x"}, {"manifest_sha256": "no"}, {"seq": 99, "stage": 3}]
)
def test_figures_that_make_no_event_are_left_out_not_raised(
    tmp_path: Path, extra: dict[str, object]
) -> None:
    sink = Recorder()
    run = reporter(tmp_path, sink)
    run.started("still told", **extra)
    run.close()
    assert sink.told("message") == ["still told"]
    assert sink.told("seq") == [1]
