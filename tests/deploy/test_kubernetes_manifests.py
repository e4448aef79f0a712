"""The manifests that a person or a queue manager applies."""

import json
from collections.abc import Callable
from typing import Any

import kubernetes_validate
import pytest

from gnn_trainer.settings import known_variables, read_settings
from tests.deploy.kubernetes_policy import (
    FOLDER,
    SECRET_VARIABLES,
    Manifest,
    job_breaches,
    pod_breaches,
    read_manifests,
    require_valid,
)

USERS = {"KAFKA_USER", "ARANGO_USER"}
TEMPLATE = json.loads((FOLDER / "base-job-template.json").read_text())


@pytest.fixture
def job() -> Manifest:
    (job,) = read_manifests(FOLDER / "job.yaml")
    return job


def named(kind: str, file: str) -> dict[str, Manifest]:
    manifests = read_manifests(FOLDER / file)
    return {one["metadata"]["name"]: one for one in manifests if one["kind"] == kind}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.name)
def test_every_manifest_fits_the_schemas(path: Any) -> None:
    for manifest in read_manifests(path):
        require_valid(manifest)


def test_a_misplaced_field_does_not_fit_the_schemas(job: Manifest) -> None:
    job["spec"]["template"]["spec"]["completions"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        require_valid(job)


def test_the_plain_job_keeps_every_rule(job: Manifest) -> None:
    assert job_breaches(job) == []


def test_the_worker_keeps_every_rule() -> None:
    worker = named("Deployment", "worker.yaml")["gnn-trainer-worker"]
    assert pod_breaches(worker["spec"]["template"]["spec"]) == []


def pod_of(job: Manifest) -> Manifest:
    pod: Manifest = job["spec"]["template"]["spec"]
    return pod


def container_of(job: Manifest) -> Manifest:
    container: Manifest = pod_of(job)["containers"][0]
    return container


def spoil(part: Callable[[Manifest], Manifest], **fields: Any) -> Callable[[Manifest], None]:
    return lambda job: part(job).update(fields)


@pytest.mark.parametrize(
    ("change", "breach"),
    [
        (spoil(lambda job: job["spec"], backoffLimit=6), "is started again by Kubernetes"),
        (spoil(pod_of, restartPolicy="OnFailure"), "restarts in place"),
        (spoil(lambda job: job["spec"], ttlSecondsAfterFinished=None), "is never removed"),
        (spoil(pod_of, automountServiceAccountToken=True), "may use Kubernetes"),
        (spoil(pod_of, terminationGracePeriodSeconds=30), "is killed while it saves"),
        (spoil(container_of, volumeMounts=[]), "has no writable workspace"),
        (spoil(pod_of, securityContext={"runAsUser": 0}), "runs as root"),
        (spoil(pod_of, securityContext={"runAsUser": 1}), "has no seccomp profile"),
        (spoil(pod_of, hostNetwork=True), "sees the host"),
        (spoil(pod_of, enableServiceLinks=True), "gets variables from Services"),
        (spoil(pod_of, volumes=[{"name": "x", "hostPath": {"path": "/"}}]), "mounts the host"),
        (spoil(container_of, securityContext={"privileged": True}), "is privileged"),
        (spoil(container_of, securityContext={}), "can write to its image"),
        (spoil(container_of, securityContext={}), "can gain privileges"),
        (
            spoil(container_of, securityContext={"capabilities": {"add": ["NET_ADMIN"]}}),
            "has capabilities",
        ),
        (spoil(container_of, image="host:5000/gnn-trainer"), "is of no certain version"),
        (spoil(container_of, resources={}), "has no limits of memory"),
        (
            spoil(container_of, env=[{"name": "KAFKA_PASSWORD", "value": "x"}]),
            "shows KAFKA_PASSWORD",
        ),
        (
            spoil(container_of, env=[{"name": "PREFECT_API_AUTH_STRING", "value": "x"}]),
            "shows PREFECT_API_AUTH_STRING",
        ),
    ],
)
def test_no_rule_can_be_broken_unseen(
    job: Manifest, change: Callable[[Manifest], None], breach: str
) -> None:
    change(job)
    assert breach in job_breaches(job)


def test_the_namespace_enforces_the_restricted_standard() -> None:
    labels = named("Namespace", "namespace.yaml")["gnn-trainer"]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_everything_is_in_one_namespace(job: Manifest) -> None:
    manifests = [job, *(m for f in FOLDER.glob("*.yaml") for m in read_manifests(f))]
    places = {m["metadata"].get("namespace") for m in manifests if m["kind"] != "Namespace"}
    assert places == {TEMPLATE["variables"]["properties"]["namespace"]["default"]}


def test_configuration_names_only_variables_that_exist_and_gives_no_value() -> None:
    open_values = named("ConfigMap", "configuration.yaml")["gnn-trainer-config"]["data"]
    secrets = named("Secret", "configuration.yaml")["gnn-trainer-secrets"]["stringData"]
    assert open_values.keys() | secrets.keys() <= known_variables()
    assert {*open_values.values(), *secrets.values()} == {""}
    assert read_settings(open_values | secrets)[1] == []


def test_whatever_is_secret_is_in_the_secret() -> None:
    open_values = named("ConfigMap", "configuration.yaml")["gnn-trainer-config"]["data"]
    secrets = named("Secret", "configuration.yaml")["gnn-trainer-secrets"]["stringData"]
    assert not (SECRET_VARIABLES | USERS) & open_values.keys()
    assert secrets.keys() <= SECRET_VARIABLES | USERS


def test_the_names_in_the_template_are_those_of_the_configuration() -> None:
    defaults = {
        name: schema.get("default") for name, schema in TEMPLATE["variables"]["properties"].items()
    }
    assert defaults["config_map"] in named("ConfigMap", "configuration.yaml")
    assert defaults["secret"] in named("Secret", "configuration.yaml")
    assert defaults["ca_secret"] in named("Secret", "configuration.yaml")


def test_ca_path_is_where_the_key_of_the_secret_is_mounted(job: Manifest) -> None:
    (key,) = named("Secret", "configuration.yaml")["gnn-trainer-ca"]["stringData"]
    (folder,) = (
        mount["mountPath"] for mount in container_of(job)["volumeMounts"] if mount["name"] == "ca"
    )
    for text in ((FOLDER / "configuration.yaml").read_text(), (FOLDER / "README.md").read_text()):
        assert f"{folder}/{key}" in text


def test_a_job_by_hand_is_a_job_by_the_worker_but_for_who_starts_it(job: Manifest) -> None:
    manifest = TEMPLATE["job_configuration"]["job_manifest"]
    by_worker = json.loads(json.dumps(manifest))
    for name, schema in TEMPLATE["variables"]["properties"].items():
        by_worker = _filled(by_worker, name, schema.get("default"))
    ours, theirs = pod_of(job), pod_of(by_worker)
    for field in ("name", "args", "image", "env"):
        container_of(job).pop(field, None)
        container_of(by_worker).pop(field, None)
    container_of(by_worker)["resources"]["limits"].pop("nvidia.com/gpu")
    for field in ("imagePullSecrets", "nodeSelector", "tolerations"):
        theirs.pop(field)
    assert ours == theirs


def _filled(template: Any, name: str, value: Any) -> Any:
    if isinstance(template, dict):
        return {key: _filled(inner, name, value) for key, inner in template.items()}
    if isinstance(template, list):
        return [_filled(inner, name, value) for inner in template]
    return value if template == f"{{{{ {name} }}}}" else template
