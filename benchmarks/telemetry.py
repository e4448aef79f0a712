"""What telemetry costs training: `python -m benchmarks.telemetry`.

A loop reports progress as fast as small batches end and otherwise sleeps, so all CPU time of the
process beyond that of the same loop without telemetry is telemetry's, its threads included. If
every core is busy training, that share of one core is what an epoch gets longer by, at the most.
"""

import multiprocessing
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from confluent_kafka import Producer

from gnn_trainer.adapters.jsonl import JsonlSink
from gnn_trainer.adapters.kafka_sink import KafkaSink
from gnn_trainer.ports import EventSink
from gnn_trainer.progress import Progress
from gnn_trainer.services import KafkaSettings
from gnn_trainer.telemetry.events import Identity
from gnn_trainer.telemetry.journal import open_journal
from gnn_trainer.telemetry.reporter import Reporter

SECONDS, REPORTS_PER_S, BUDGET = 10.0, 50, 0.01
IDENTITY = Identity("benchmark", "MARKET_GRAPH", "gnn_model_training", "benchmark")


def serve_broker(answer: Connection) -> None:
    """A broker in a process of its own, so that its work is not counted."""
    cluster = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "replaced"})
    (broker,) = cluster.list_topics(timeout=10.0).brokers.values()
    answer.send(f"{broker.host}:{broker.port}")
    answer.recv()


def spent(report: Callable[[Progress], None]) -> tuple[float, float]:
    """CPU seconds of the whole process, and seconds the loop waited for `report`."""
    fields = {"epoch": 1, "epochs": 100, "loss": 1.0, "val_rank_ic": 0.05, "eta_s": 9.0}
    inside = 0.0
    cpu_before = time.process_time()
    for count in range(int(SECONDS * REPORTS_PER_S)):
        progress = Progress("training", count, SECONDS * REPORTS_PER_S, fields)
        began = time.perf_counter()
        report(progress)
        inside += time.perf_counter() - began
        time.sleep(1 / REPORTS_PER_S)
    return time.process_time() - cpu_before, inside


def measure(name: str, sink: EventSink, idle_s: float) -> float:
    with tempfile.TemporaryDirectory() as folder:
        reporter = Reporter(IDENTITY, sink, open_journal(Path(folder), "benchmark", time.time()))
        reporter.started("")
        cpu_s, inside_s = spent(reporter.on_progress)
        delivery = reporter.close(timeout_s=1.0)
    share = max(0.0, cpu_s - idle_s) / SECONDS
    print(
        f"{name:<16} {share:8.3%} of one core, of which in the training thread "
        f"{inside_s / SECONDS:.4%}; {delivery.sent} delivered, {delivery.undelivered} not"
    )
    return share


def main() -> None:
    idle_s, _ = spent(lambda _: None)
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve_broker, args=(theirs,))
    process.start()
    broker, nobody = (
        KafkaSink(KafkaSettings(bootstrap_servers=address), "queue-events")
        for address in (ours.recv(), "127.0.0.1:9")
    )
    with tempfile.TemporaryDirectory() as folder:
        shares = [
            measure("file", JsonlSink(Path(folder) / "events.jsonl"), idle_s),
            measure("broker", broker, idle_s),
            measure("broker away", nobody, idle_s),
        ]
    ours.send("enough")
    process.join()
    verdict = "within" if max(shares) < BUDGET else "OVER"
    print(f"largest {max(shares):.3%}: {verdict} the budget of {BUDGET:.0%}")


if __name__ == "__main__":
    main()
