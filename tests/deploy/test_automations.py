"""The example automations on a real Prefect server: created, and fired by our events."""

import json
import queue
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
from prefect.events import emit_event
from prefect.events.clients import PrefectEventsClient
from prefect.events.worker import EventsWorker
from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

from flows.automations import main
from flows.milestones import DRIFT, resource_of, tell_published, tell_verdict
from tests.deploy.process_pool import serving

DEADLINE_S = 240.0
TEN_SECONDS = str(10 / 3600)  # the shortest that Prefect takes


class Pager(ThreadingHTTPServer):
    """Where notifications arrive."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.messages: queue.Queue[dict[str, str]] = queue.Queue()


class Receiver(BaseHTTPRequestHandler):
    server: Pager

    def do_POST(self) -> None:
        self.server.messages.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Be quiet."""


@pytest.fixture(scope="module")
def pager() -> Iterator[Pager]:
    with Pager() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, pager: Pager) -> Iterator[SyncPrefectClient]:
    """Of a server with a deployment for each of three models, and a block that notifies."""
    with (
        serving(tmp_path_factory.mktemp("server")) as api_url,
        temporary_settings({PREFECT_API_URL: api_url, PREFECT_LOGGING_TO_API_ENABLED: False}),
        get_client(sync_client=True) as client,
    ):
        client.create_work_pool(WorkPoolCreate(name="pool", type="process"))
        flow_id = client.create_flow_from_name("train")
        for name in ("drifting", "stale", "refused"):
            client.create_deployment(
                flow_id,
                name,
                work_pool_name="pool",
                parameters={"config": {"model_name": name}},
            )
        CustomWebhookNotificationBlock(
            name="on-call",
            url=f"http://127.0.0.1:{pager.server_address[1]}",
            json_data={"subject": "{{subject}}", "body": "{{body}}"},
        ).save("on-call")
        # Prefect's own worker goes on sending to the first server that this process knew.
        EventsWorker.set_client_override(PrefectEventsClient, api_url=api_url)
        yield client
        EventsWorker.set_client_override(None)


def create(name: str, *arguments: str) -> None:
    assert main(["--deployment", f"train/{name}", *arguments]) == 0


def runs_of(client: SyncPrefectClient, name: str) -> list[Any]:
    ours = DeploymentFilter(name=DeploymentFilterName(any_=[name]))
    return client.read_flow_runs(deployment_filter=ours)


def wait_until(is_so: Callable[[], object], otherwise: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.2)


def test_a_refused_model_is_told_to_whoever_is_on_call(
    client: SyncPrefectClient, pager: Pager
) -> None:
    create("refused", "--notify", "custom-webhook/on-call")

    tell_verdict("another", "v1", promoted=False, reasons=("not ours",))
    tell_verdict("refused", "v2", promoted=True, reasons=("good",))
    tell_verdict("refused", "v3", promoted=False, reasons=("no better than ridge", "noise"))

    message = pager.messages.get(timeout=DEADLINE_S)
    assert message["subject"] == "refused: model refused"
    assert "v3 was not promoted: no better than ridge; noise" in message["body"]
    assert pager.messages.empty()


def test_drift_of_its_model_runs_the_deployment(client: SyncPrefectClient) -> None:
    create("drifting")

    emit_event(DRIFT, {"prefect.resource.id": resource_of("another")})
    emit_event(DRIFT, {"prefect.resource.id": resource_of("drifting")})

    wait_until(lambda: runs_of(client, "drifting"), "drift started no run")
    assert len(runs_of(client, "drifting")) == 1


def test_a_model_that_is_not_renewed_is_trained_again(client: SyncPrefectClient) -> None:
    create("stale", "--stale-hours", TEN_SECONDS)
    assert not runs_of(client, "stale")

    tell_published("stale", "v1", {"rank_ic": 0.04})

    wait_until(lambda: runs_of(client, "stale"), "a stale model started no run")


def test_creating_them_again_replaces_them(client: SyncPrefectClient) -> None:
    create("refused", "--notify", "custom-webhook/on-call")
    create("refused", "--notify", "custom-webhook/on-call")

    ours = [each for each in client.read_automations() if each.name.startswith("refused: ")]
    assert len(ours) == 3


@pytest.mark.parametrize(
    "arguments", [["--deployment", "train/none"], ["--notify", "custom-webhook/none"]]
)
def test_what_prefect_does_not_know_is_said(
    client: SyncPrefectClient, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert main(["--deployment", "train/refused", *arguments]) == 2
    assert "create it first" in capsys.readouterr().err
