"""What Kubernetes accepts, and what we allow a pod of ours to be."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

from gnn_trainer.environment import is_secret
from gnn_trainer.settings import variables
from tests.flows.subprocesses import ROOT

Manifest = dict[str, Any]

FOLDER = ROOT / "deploy" / "kubernetes"
VERSIONS = ("1.28", "1.32", "1.37")
# Of the restricted Pod Security Standard.
VOLUME_KINDS = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
SAVING_S = 60  # the runner gives a run 30 s to stop, and its events take some more
SECRET_VARIABLES = {name for env, field in variables() if is_secret(field) for name in env.names}
_SECRET_NAME = re.compile(r"(PASSWORD|SECRET|TOKEN|ACCESS_KEY|API_KEY|AUTH_STRING|CREDENTIALS?)$")


def read_manifests(path: Path) -> list[Manifest]:
    return list(yaml.safe_load_all(path.read_text()))


def require_valid(manifest: Manifest) -> None:
    """Strictly by the schemas of several versions of Kubernetes: an unknown field is an error."""
    for version in VERSIONS:
        kubernetes_validate.validate(manifest, version, strict=True)


def job_breaches(job: Manifest) -> list[str]:
    """What is wrong with a Job that runs us."""
    spec = job["spec"]
    pod = spec["template"]["spec"]
    rules = {
        "is started again by Kubernetes": spec.get("backoffLimit") == 0,
        "restarts in place": pod.get("restartPolicy") == "Never",
        "is never removed": spec.get("ttlSecondsAfterFinished") is not None,
        "may use Kubernetes": pod.get("automountServiceAccountToken") is False,
        "is killed while it saves": pod.get("terminationGracePeriodSeconds", 0) >= SAVING_S,
        "has no writable workspace": _is_writable(pod, "/workspace"),
    }
    return [text for text, is_kept in rules.items() if not is_kept] + pod_breaches(pod)


def pod_breaches(pod: Manifest) -> list[str]:
    """What is wrong with a pod of ours, whatever it does."""
    security = pod.get("securityContext", {})
    rules = {
        "runs as root": security.get("runAsNonRoot") is True and security.get("runAsUser", 0) > 0,
        "has no seccomp profile": security.get("seccompProfile") == {"type": "RuntimeDefault"},
        "sees the host": not any(pod.get(f"host{name}") for name in ("Network", "PID", "IPC")),
        "gets variables from Services": pod.get("enableServiceLinks") is False,
        "mounts the host": all(set(v) <= {"name", *VOLUME_KINDS} for v in pod["volumes"]),
    }
    own = [text for text, is_kept in rules.items() if not is_kept]
    containers = pod["containers"] + pod.get("initContainers", [])
    return own + [text for container in containers for text in _container_breaches(container)]


def _container_breaches(container: Manifest) -> Iterator[str]:
    security = container.get("securityContext", {})
    resources = container.get("resources", {})
    tag = container["image"].rpartition("/")[2].partition(":")[2]
    rules = {
        "can write to its image": security.get("readOnlyRootFilesystem") is True,
        "can gain privileges": security.get("allowPrivilegeEscalation") is False,
        "is privileged": not security.get("privileged"),
        "has capabilities": security.get("capabilities") == {"drop": ["ALL"]},
        "is of no certain version": tag not in ("", "latest"),
    }
    yield from (text for text, is_kept in rules.items() if not is_kept)
    for kind in ("requests", "limits"):
        for resource in ("cpu", "memory", "ephemeral-storage"):
            if not resources.get(kind, {}).get(resource):
                yield f"has no {kind} of {resource}"
    for variable in container.get("env", []):
        name = variable["name"]
        if "value" in variable and (name in SECRET_VARIABLES or _SECRET_NAME.search(name)):
            yield f"shows {name}"
    for source in container.get("envFrom", []):
        reference = source.get("secretRef") or source["configMapRef"]
        if not reference.get("name"):
            yield "takes variables from nowhere"


def _is_writable(pod: Manifest, path: str) -> bool:
    mounts = [mount for c in pod["containers"] for mount in c.get("volumeMounts", [])]
    names = {mount["name"] for mount in mounts if mount["mountPath"] == path}
    return any(
        volume["name"] in names and not {"secret", "configMap"} & set(volume)
        for volume in pod["volumes"]
    )
