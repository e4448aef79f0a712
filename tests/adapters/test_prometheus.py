"""A run's figures as Prometheus reads them."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gnn_trainer.adapters.prometheus import push, write_textfile
from gnn_trainer.errors import ServiceError
from gnn_trainer.telemetry.measurements import Measurements, Outcome, Stage


def ended(outcome: Outcome) -> Measurements:
    run = Measurements("m", "simulated", "1h", [Stage("fetch_klines", "Cached", 2.5, {"rows": 7})])
    run.judge({"rank_ic": 0.04, "accuracy": float("nan")})
    run.end(outcome)
    return run


def samples(text: str) -> dict[str, float]:
    """`name{labels}` without the label that all have -> value."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            assert sample.labels.pop("model_name") == "m"
            labels = ",".join(sample.labels[name] for name in sorted(sample.labels))
            found[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value
    return found


def test_a_textfile_has_the_run_its_stages_and_its_skill(tmp_path: Path) -> None:
    path = tmp_path / "new" / "m.prom"
    run = ended("finished")

    write_textfile(path, run)

    assert samples(path.read_text()) == {
        "gnn_trainer_run_duration_seconds": run.seconds,
        "gnn_trainer_run_end_timestamp_seconds": run.ended_s,
        "gnn_trainer_last_success_timestamp_seconds": run.ended_s,
        "gnn_trainer_run_outcome{finished}": 1.0,
        "gnn_trainer_run_outcome{interrupted}": 0.0,
        "gnn_trainer_run_outcome{error}": 0.0,
        "gnn_trainer_stage_duration_seconds{fetch_klines}": 2.5,
        "gnn_trainer_stage_cached{fetch_klines}": 1.0,
        "gnn_trainer_stage_items{rows,fetch_klines}": 7.0,
        "gnn_trainer_model_rank_ic": 0.04,
    }


def test_the_last_success_outlives_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "m.prom"
    good, bad = ended("finished"), ended("error")

    write_textfile(path, good)
    write_textfile(path, bad)

    found = samples(path.read_text())
    assert found["gnn_trainer_run_outcome{error}"] == 1.0
    assert found["gnn_trainer_last_success_timestamp_seconds"] == good.ended_s


def test_a_first_failure_knows_of_no_success(tmp_path: Path) -> None:
    write_textfile(tmp_path / "m.prom", ended("error"))

    assert "last_success" not in (tmp_path / "m.prom").read_text()


def test_a_folder_that_cannot_be_written_is_said_with_the_variable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ServiceError, match="METRICS_TEXTFILE"):
        write_textfile(tmp_path / "file" / "m.prom", ended("finished"))


class Gateway(ThreadingHTTPServer):
    """Keeps what it is told, and answers with `status`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.told: list[tuple[str, str, str]] = []
        self.status = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Receiver(BaseHTTPRequestHandler):
    server: Gateway

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.told.append((self.command, self.path, body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Be quiet."""


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_push_adds_to_the_group_of_its_model(gateway: Gateway) -> None:
    push(gateway.url, ended("error"))

    ((method, path, body),) = gateway.told
    assert (method, path) == ("POST", "/metrics/job/gnn_trainer/model_name/m")
    assert samples(body)["gnn_trainer_run_outcome{error}"] == 1.0
    assert "last_success" not in body  # what the gateway knows of it stays


def test_a_gateway_that_refuses_is_a_service_error_without_its_address(gateway: Gateway) -> None:
    gateway.status = 503

    with pytest.raises(ServiceError, match=r"METRICS_PUSHGATEWAY_URL.*503") as caught:
        push(gateway.url, ended("finished"))

    assert gateway.url not in str(caught.value)


def test_a_gateway_that_is_away_is_a_service_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}"

    with pytest.raises(ServiceError, match="METRICS_PUSHGATEWAY_URL"):
        push(url, ended("finished"))
