"""A server that speaks the part of ArangoDB's REST interface that python-arango uses here."""

import base64
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import SecretStr

from gnn_trainer.services import ArangoSettings

DATABASE, USER, PASSWORD = "streamforge", "trainer", "pass-word"
_PATH = re.compile(r"/_db/([^/]+)/_api/(collection|cursor|import)(?:/([^/]+))?(?:/(\w+))?")

Answer = tuple[int, Any]


@dataclass
class ArangoServer:
    """In-memory collections, and answers to give instead of the right ones."""

    url: str = ""
    collections: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    instead: list[tuple[int, bytes]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    knows_revisions: bool = True
    _cursors: dict[str, tuple[list[Any], int]] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count)

    def settings(self, collection: str | None = "graph", **changes: Any) -> ArangoSettings:
        values = {
            "url": self.url,
            "database": DATABASE,
            "user": USER,
            "password": SecretStr(PASSWORD),
            "collection": collection,
        }
        return ArangoSettings(**{**values, **changes})

    def answer(self, method: str, path: str, headers: Any, body: Any) -> Answer:
        wanted = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if headers.get("Authorization") != f"Basic {wanted}":
            return _refusal(401, 11, "not authorized")
        parts = urlsplit(path)
        matched = _PATH.fullmatch(unquote(parts.path))
        if matched is None:
            return _refusal(404, 404, "unknown path")
        database, area, name, detail = matched.groups()
        if database != DATABASE:
            return _refusal(404, 1228, "database not found")
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if area == "cursor":
            return self._cursor(method, name, body)
        if area == "import":
            return self._import(query, body)
        return self._collection(method, name, detail, body)

    def _collection(self, method: str, name: str | None, detail: str | None, body: Any) -> Answer:
        if name is None:
            if method == "POST":
                self.collections.setdefault(body["name"], [])
                return 200, {"name": body["name"], "id": "1", "type": 2, "status": 3}
            listed = [
                {"name": name, "id": name, "type": 2, "status": 3, "isSystem": False}
                for name in self.collections
            ]
            return 200, {"result": listed, "error": False}
        if name not in self.collections:
            return _refusal(404, 1203, "collection or view not found")
        documents = self.collections[name]
        if detail == "count":
            return 200, {"name": name, "count": len(documents)}
        if detail == "revision" and self.knows_revisions:
            return 200, {"name": name, "revision": str(hash(json.dumps(documents)))}
        return _refusal(404, 404, "unknown path")

    def _cursor(self, method: str, name: str | None, body: Any) -> Answer:
        if name is None:
            asked = body["bindVars"]["@collection"]
            if asked not in self.collections:
                return _refusal(404, 1203, "collection or view not found")
            name = str(next(self._numbers))
            self._cursors[name] = list(self.collections[asked]), body["batchSize"]
        elif method == "DELETE":
            del self._cursors[name]
            return 202, {"id": name}
        left, size = self._cursors[name]
        self._cursors[name] = left[size:], size
        more = len(left) > size
        answer = {"result": left[:size], "hasMore": more, "cached": False, "extra": {}}
        return 201, answer | ({"id": name} if more else {})

    def _import(self, query: dict[str, str], body: Any) -> Answer:
        collection = self.collections[query["collection"]]
        keys = {document["_key"] for document in body}
        if query.get("onDuplicate") == "replace":
            collection[:] = [item for item in collection if item["_key"] not in keys]
        collection += body
        return 201, {"error": False, "created": len(body), "errors": 0}


@contextmanager
def running_arango() -> Iterator[ArangoServer]:
    """The server on a free port of this machine."""
    state = ArangoServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            state.requests.append(f"{self.command} {self.path}")
            text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if state.instead:
                status, data = state.instead.pop(0)
            else:
                body = json.loads(text) if text else None
                status, answer = state.answer(self.command, self.path, self.headers, body)
                data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_DELETE = _answer

        def log_message(self, format: str, *args: Any) -> None:
            """Tests need no access log."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        state.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()


def _refusal(status: int, number: int, text: str) -> Answer:
    return status, {"error": True, "code": status, "errorNum": number, "errorMessage": text}
