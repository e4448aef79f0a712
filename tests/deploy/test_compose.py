"""compose.yaml: by its specification, and by what our own program makes of it."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from compose_spec import PyCompose
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate

from flows.local_server import LocalServer
from gnn_trainer.settings import build_config
from tests.deploy.image import ROOT, copy_code, variables

Service = dict[str, Any]
OURS = {"prefect", "deploy", "worker", "exchange"}
ENDING = {"deploy", "topics"}  # do one thing, then end


def platform(environ: dict[str, str] | None = None) -> dict[str, Any]:
    """The file as `docker compose` takes it: merged, variables replaced."""

    def value(found: re.Match[str]) -> str:
        return (environ or {}).get(found["name"], found["default"])

    text = (ROOT / "compose.yaml").read_text()
    text = re.sub(r"(?<!\$)\$\{(?P<name>\w+):-(?P<default>[^}]*)\}", value, text)
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


SERVICES: dict[str, Service] = platform()["services"]


def command(service: str) -> list[str]:
    """What a shell or the kernel is given: `$$` is compose's way to write a dollar."""
    return [word.replace("$$", "$") for word in SERVICES[service]["command"]]


def test_it_follows_the_specification() -> None:
    compose = PyCompose.from_json(json.dumps(platform()))
    compose.validate()
    assert OURS | {"kafka", "topics", "minio", "arangodb"} == set(compose.service_names())


def test_every_image_is_ours_or_pinned() -> None:
    for name, service in SERVICES.items():
        if name in OURS:
            assert service["image"] == "gnn-trainer:local"
            assert service["build"]["context"] == "."
        else:
            image, _, tag = service["image"].partition(":")
            assert re.search(r"\d+\.\d+\.\d+|\d{4}-\d\d-\d\d", tag), image
            assert "build" not in service


def test_every_build_argument_is_one_of_the_dockerfile() -> None:
    known = set(re.findall(r"^ARG (\w+)", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE))
    for name in OURS:
        assert set(SERVICES[name]["build"]["args"]) <= known


def test_only_this_machine_gets_in() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) >= 5
    for port in ports:
        assert port.startswith("127.0.0.1:")


@pytest.mark.parametrize("name", sorted(OURS))
def test_our_containers_may_do_no_more_than_they_need(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    for volume in service.get("volumes", []):
        assert volume.split(":")[1] == variables()["WORKSPACE"]


def test_what_is_waited_for_can_be_waited_for() -> None:
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            condition = how["condition"]
            assert (condition == "service_completed_successfully") == (other in ENDING), name
            assert (condition == "service_healthy") <= ("healthcheck" in SERVICES[other]), name
        assert service["restart"] == ("on-failure" if name in ENDING else "unless-stopped")


def test_the_worker_reaches_every_service_where_it_listens() -> None:
    settings, _ = build_config(SERVICES["worker"]["environment"], {})
    assert settings.kafka is not None
    assert settings.minio is not None
    assert settings.arango is not None
    assert settings.market_url is not None
    listeners = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert f"//{settings.kafka.bootstrap_servers}," in listeners
    reached = {
        "exchange": settings.market_url,
        "minio": settings.minio.url,
        "arangodb": settings.arango.url,
        "prefect": SERVICES["worker"]["environment"]["PREFECT_API_URL"],
    }
    for service, url in reached.items():
        assert urlsplit(url).hostname == service
        inside = [port.rsplit(":", 1)[1] for port in SERVICES[service]["ports"]]
        assert str(urlsplit(url).port) in inside
    given = SERVICES["minio"]["environment"]
    assert given["MINIO_ROOT_USER"] == settings.minio.access_key.get_secret_value()


def test_one_password_is_changed_everywhere_at_once() -> None:
    services = platform({"PLATFORM_PASSWORD": "another-password"})["services"]
    settings, _ = build_config(services["worker"]["environment"], {})
    assert settings.minio is not None
    assert settings.arango is not None
    passwords = {
        settings.minio.secret_key.get_secret_value(),
        settings.arango.password.get_secret_value(),
        services["minio"]["environment"]["MINIO_ROOT_PASSWORD"],
        services["arangodb"]["environment"]["ARANGO_ROOT_PASSWORD"],
    }
    assert passwords == {"another-password"}


def test_the_tests_of_services_ask_for_what_compose_opens() -> None:
    shown = subprocess.run(
        ["make", "--dry-run", "test-services"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    opened = {port.rsplit(":", 1)[0] for one in SERVICES.values() for port in one.get("ports", [])}
    asked = set(re.findall(r"127\.0\.0\.1:\d+", shown))
    assert len(asked) == 4
    assert asked <= opened
    started = shown.split("--wait ")[1].split("\n")[0].split()
    assert set(started) <= set(SERVICES) - ENDING
    suites = "".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
    for name in re.findall(r"GNN_TRAINER_TEST_[A-Z]+", shown):
        assert name in suites


def test_the_exchange_serves_as_its_health_check_asks() -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = str(reserved.getsockname()[1])
    smaller = ["--symbols", "4", "--bars", "200"]
    ours = [word if word != "8080" else port for word in command("exchange")]
    with subprocess.Popen(
        [sys.executable, *ours[1:], *smaller], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip().endswith(port)
        asked = [word.replace("8080", port) for word in SERVICES["exchange"]["healthcheck"]["test"]]
        healthy = subprocess.run([sys.executable, *asked[2:]], check=False).returncode
        process.terminate()
    assert asked[:2] == ["CMD", "python"]
    assert healthy == 0
    assert process.returncode == 0


def test_the_flow_is_registered_for_the_worker(tmp_path: Path) -> None:
    copy_code(tmp_path)
    with LocalServer(tmp_path / "prefect") as server:
        server.wait_until_ready()
        with SyncPrefectClient(server.api_url) as client:
            client.create_work_pool(
                WorkPoolCreate(name="platform", type="process")
            )  # an earlier up
            subprocess.run(
                command("deploy"),
                cwd=tmp_path,
                env={
                    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
                    "PYTHONPATH": str(tmp_path),
                    "PREFECT_HOME": str(tmp_path / "home"),
                    "PREFECT_API_URL": server.api_url,
                },
                check=True,
            )
            deployment = client.read_deployment_by_name("train/train")
            pool = client.read_work_pool("platform")
    assert pool.type == "process"
    assert deployment.work_pool_name == pool.name
    assert deployment.entrypoint == "flows/train.py:train"
    assert command("worker")[-4:] == ["--pool", pool.name, "--type", pool.type]
