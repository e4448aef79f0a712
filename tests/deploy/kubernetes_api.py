"""As much of Kubernetes' API as a worker needs to make Jobs; it remembers what it was asked for."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

# Resource and whether it is in namespaces, by group; the worker's observer waits until it has found
# those of these that are not.
_RESOURCES = {
    "": {"Pod": True, "Namespace": False},
    "batch": {"Job": True},
    "apiextensions.k8s.io": {"CustomResourceDefinition": False},
}


@dataclass(frozen=True)
class Wish:
    """What a request asks to be allowed to do, in the words of a Role."""

    verb: str
    group: str
    resource: str
    namespace: str | None


@dataclass
class KubernetesApi:
    """A running server. `jobs` holds the bodies of those that were created."""

    url: str
    wishes: set[Wish] = field(default_factory=set)
    jobs: list[dict[str, Any]] = field(default_factory=list)
    is_over: threading.Event = field(default_factory=threading.Event)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def note(self, wish: Wish) -> None:
        with self._changed:
            self.wishes.add(wish)
            self._changed.notify_all()

    def wait_for(self, verb: str, resource: str, timeout_s: float) -> bool:
        """Whether that was asked for, in time."""

        def is_asked() -> bool:
            return any((wish.verb, wish.resource) == (verb, resource) for wish in self.wishes)

        with self._changed:
            return self._changed.wait_for(is_asked, timeout_s)

    def kubeconfig(self, folder: Path) -> Path:
        """A file that leads here."""
        path = folder / "kubeconfig"
        path.write_text(
            yaml.safe_dump(
                {
                    "current-context": "here",
                    "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
                    "clusters": [{"name": "here", "cluster": {"server": self.url}}],
                    "users": [{"name": "me", "user": {"token": "anything"}}],
                }
            )
        )
        return path


@contextmanager
def kubernetes_api() -> Iterator[KubernetesApi]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Requests)
    api = KubernetesApi(f"http://127.0.0.1:{server.server_port}")
    server.RequestHandlerClass = type("Requests", (_Requests,), {"api": api})
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield api
    api.is_over.set()
    server.shutdown()
    thread.join()
    server.server_close()


class _Requests(BaseHTTPRequestHandler):
    api: KubernetesApi

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if (discovered := _discovery(url.path)) is not None:
            return self._answer(discovered)
        query = parse_qs(url.query)
        is_watch = query.get("watch", ["false"])[0].lower() == "true"
        *_, resource = self._wish("watch" if is_watch else "list", url.path)
        if is_watch:  # nothing ever happens
            self.send_response(200)
            self.end_headers()
            self.api.is_over.wait()
            return None
        return self._answer(
            {"kind": f"{resource}List", "metadata": {"resourceVersion": "1"}, "items": []}
        )

    def do_POST(self) -> None:
        job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.api.jobs.append(job)
        self._wish("create", urlsplit(self.path).path)
        self._answer({**job, "metadata": {**job["metadata"], "name": "made", "uid": "1"}})

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on the tests' error stream."""

    def _wish(self, verb: str, path: str) -> list[str]:
        """/api/v1/namespaces/<namespace>/pods, /apis/batch/v1/jobs, ..."""
        parts = path.strip("/").split("/")
        group, rest = ("", parts[2:]) if parts[0] == "api" else (parts[1], parts[3:])
        namespace = rest[1] if rest[0] == "namespaces" else None
        resource = rest[2:] if namespace else rest
        self.api.note(Wish(verb, group, "/".join(resource), namespace))
        return resource

    def _answer(self, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _discovery(path: str) -> dict[str, Any] | None:
    """What everybody may ask: which resources there are."""
    if path == "/api":
        return {"versions": ["v1"]}
    if path == "/apis":
        return {"groups": [_group(name) for name in _RESOURCES if name]}
    for name, resources in _RESOURCES.items():
        if path == (f"/apis/{name}/v1" if name else "/api/v1"):
            return {"resources": [_resource(*item) for item in resources.items()]}
    return None


def _group(name: str) -> dict[str, Any]:
    version = {"groupVersion": f"{name}/v1", "version": "v1"}
    return {"name": name, "versions": [version], "preferredVersion": version}


def _resource(kind: str, is_namespaced: bool) -> dict[str, Any]:
    return {
        "name": f"{kind.lower()}s",
        "singularName": kind.lower(),
        "kind": kind,
        "namespaced": is_namespaced,
        "verbs": ["create", "delete", "get", "list", "patch", "watch"],
    }
