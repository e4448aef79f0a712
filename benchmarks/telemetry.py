"""What telling and listening cost training: `python -m benchmarks.telemetry [--small]`.

A loop reports progress as fast as small batches end and otherwise sleeps, so all CPU time of the
process beyond that of the same loop without telemetry is telemetry's, its threads included. If
every core is busy training, that share of one core is what an epoch gets longer by, at the most.
The same is asked of a thread that listens for commands, and of the look for a stop that every
batch takes.
"""

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from confluent_kafka import Producer

from benchmarks.figures import Figure, main
from gnn_trainer.adapters.jsonl import JsonlSink
from gnn_trainer.adapters.kafka_control import KafkaControl
from gnn_trainer.adapters.kafka_sink import KafkaSink
from gnn_trainer.control import StopController
from gnn_trainer.ports import EventSink
from gnn_trainer.progress import Progress
from gnn_trainer.services import KafkaSettings
from gnn_trainer.telemetry.events import Identity
from gnn_trainer.telemetry.journal import open_journal
from gnn_trainer.telemetry.reporter import Reporter

REPORTS_PER_S, BUDGET_PERCENT = 50, 1.0
EVENTS, CONTROL = "queue-events", "queue-control"
NOBODY = "127.0.0.1:9"
IDENTITY = Identity("benchmark", "MARKET_GRAPH", "gnn_model_training", "benchmark")


def lines(small: bool) -> list[Figure]:
    seconds = 5.0 if small else 10.0
    idle_s, _ = _spent(lambda _: None, seconds)
    with _broker() as address, tempfile.TemporaryDirectory() as folder:
        told = [
            _telling("a file", JsonlSink(Path(folder) / "events.jsonl"), idle_s, seconds),
            _telling("a broker", _sink(address), idle_s, seconds),
            _telling("a broker that is away", _sink(NOBODY), idle_s, seconds),
        ]
        heard = [
            _listening("a broker", address, seconds),
            _listening("a broker that is away", NOBODY, seconds),
        ]
    return [*told, *heard, _looking()]


def _sink(address: str) -> KafkaSink:
    return KafkaSink(KafkaSettings(bootstrap_servers=address), EVENTS)


def _spent(report: Callable[[Progress], None], seconds: float) -> tuple[float, float]:
    """CPU seconds of the whole process, and seconds the loop waited for `report`."""
    fields = {"epoch": 1, "epochs": 100, "loss": 1.0, "val_rank_ic": 0.05, "eta_s": 9.0}
    inside = 0.0
    cpu_before = time.process_time()
    for count in range(int(seconds * REPORTS_PER_S)):
        progress = Progress("training", count, seconds * REPORTS_PER_S, fields)
        began = time.perf_counter()
        report(progress)
        inside += time.perf_counter() - began
        time.sleep(1 / REPORTS_PER_S)
    return time.process_time() - cpu_before, inside


def _telling(where: str, sink: EventSink, idle_s: float, seconds: float) -> Figure:
    with tempfile.TemporaryDirectory() as folder:
        reporter = Reporter(IDENTITY, sink, open_journal(Path(folder), "benchmark", time.time()))
        reporter.started("")
        cpu_s, inside_s = _spent(reporter.on_progress, seconds)
        delivery = reporter.close(timeout_s=1.0)
    return _of_a_core(
        f"telemetry: {REPORTS_PER_S} reports a second to {where}",
        max(0.0, cpu_s - idle_s) / seconds,
        f"in the training thread {inside_s / seconds:.4%}; "
        f"{delivery.sent} delivered, {delivery.undelivered} not",
    )


def _listening(where: str, address: str, seconds: float) -> Figure:
    kafka = KafkaSettings(bootstrap_servers=address)
    stop = StopController()
    with KafkaControl(kafka, CONTROL, IDENTITY, 0, lambda _: None):
        stop.wait(1.0)
        before = time.process_time()
        stop.wait(seconds)
        share = (time.process_time() - before) / seconds
    return _of_a_core(f"control: listening to {where}", share, "from its second second on")


def _looking(times: int = 1_000_000) -> Figure:
    stop = StopController()
    began = time.process_time()
    for _ in range(times):
        _ = stop.is_requested
    nanoseconds = (time.process_time() - began) / times * 1e9
    return Figure("control: one look for a stop, as before every batch", nanoseconds, "ns")


def _of_a_core(what: str, share: float, note: str) -> Figure:
    return Figure(
        what, 100 * share, "% of a core", floor=BUDGET_PERCENT, more_is_better=False, note=note
    )


@contextmanager
def _broker() -> Iterator[str]:
    """The address of a broker in a process of its own, so that its work is not counted."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve_broker, args=(theirs,))
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send("enough")
        process.join()


def _serve_broker(answer: Connection) -> None:
    cluster = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "replaced"})
    (broker,) = cluster.list_topics(timeout=10.0).brokers.values()
    cluster.produce(CONTROL, b"{}")  # makes the topic
    cluster.flush(10.0)
    answer.send(f"{broker.host}:{broker.port}")
    answer.recv()


if __name__ == "__main__":
    main(lines)
