"""The worker of worker.yaml, a real process, makes a Job of a run."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.request import urlopen

import pytest

from tests.deploy.kubernetes_api import KubernetesApi, Wish, kubernetes_api
from tests.deploy.kubernetes_policy import (
    FOLDER,
    Manifest,
    job_breaches,
    read_manifests,
    require_valid,
)
from tests.deploy.kubernetes_pool import KubernetesPool
from tests.flows.subprocesses import DEADLINE_S, TrainProcess

MANIFESTS = {one["kind"]: one for one in read_manifests(FOLDER / "worker.yaml")}
(CONTAINER,) = MANIFESTS["Deployment"]["spec"]["template"]["spec"]["containers"]
PASSWORD = "admin:do-not-tell"


@dataclass(frozen=True)
class Cluster:
    """What Kubernetes was asked for by a worker that had one run to start."""

    api: KubernetesApi
    health: int  # of the worker, as HTTP status

    @property
    def job(self) -> Manifest:
        (job,) = self.api.jobs
        return job


@pytest.fixture(scope="module")
def cluster(pool: KubernetesPool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("worker")
    health = f"127.0.0.1:{_free_port()}"
    given = {one["name"]: one["value"] for one in CONTAINER["env"]}
    _, *start = CONTAINER["args"]
    pool.forget_runs()
    with kubernetes_api() as api:
        own = {
            "PREFECT_API_URL": pool.api_url,
            "PREFECT_HOME": str(folder),
            "PREFECT_API_AUTH_STRING": PASSWORD,
            "KAFKA_PASSWORD": "do-not-tell-either",
            "KUBECONFIG": str(api.kubeconfig(folder)),
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PREFECT_WORKER_WEBSERVER_PORT": health.rpartition(":")[2],
        }
        with TrainProcess(folder, given | own, "-m", "prefect", *start) as worker:
            worker.wait_for_line("started!")
            pool.new_run()
            for verb, resource in (("create", "jobs"), ("watch", "jobs"), ("watch", "pods")):
                assert api.wait_for(verb, resource, DEADLINE_S), f"never asked to {verb} {resource}"
            with urlopen(
                f"http://{health}{CONTAINER['livenessProbe']['httpGet']['path']}"
            ) as reply:
                status = reply.status
            yield Cluster(api, status)
    pool.forget_runs()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port: int = reserved.getsockname()[1]
    return port


def is_allowed(wish: Wish) -> bool:
    """By the Role of worker.yaml, which counts in its namespace."""
    role = MANIFESTS["Role"]
    return wish.namespace == role["metadata"]["namespace"] and any(
        wish.group in rule["apiGroups"]
        and wish.resource in rule["resources"]
        and wish.verb in rule["verbs"]
        for rule in role["rules"]
    )


def test_the_job_that_reaches_kubernetes_fits_and_keeps_every_rule(cluster: Cluster) -> None:
    require_valid(cluster.job)
    assert job_breaches(cluster.job) == []


def test_the_worker_asks_for_nothing_that_its_role_does_not_allow(cluster: Cluster) -> None:
    assert {wish.resource for wish in cluster.api.wishes} == {"jobs", "pods"}
    assert [wish for wish in cluster.api.wishes if not is_allowed(wish)] == []


def test_the_role_is_given_to_the_account_of_the_worker() -> None:
    account = MANIFESTS["ServiceAccount"]["metadata"]["name"]
    pod = MANIFESTS["Deployment"]["spec"]["template"]["spec"]
    (subject,) = MANIFESTS["RoleBinding"]["subjects"]
    assert account == subject["name"] == pod["serviceAccountName"]
    assert MANIFESTS["RoleBinding"]["roleRef"]["name"] == MANIFESTS["Role"]["metadata"]["name"]


def test_no_secret_of_the_worker_is_in_the_job(cluster: Cluster) -> None:
    assert "do-not-tell" not in str(cluster.job)
    (container,) = cluster.job["spec"]["template"]["spec"]["containers"]
    variables = {one["name"]: one for one in container["env"]}
    assert variables["PREFECT_API_AUTH_STRING"]["valueFrom"]["secretKeyRef"] == {
        "name": CONTAINER["envFrom"][0]["secretRef"]["name"],
        "key": "PREFECT_API_AUTH_STRING",
    }


def test_the_worker_is_healthy_where_kubernetes_looks(cluster: Cluster) -> None:
    assert "--with-healthcheck" in CONTAINER["args"]
    assert cluster.health == 200
