"""A Prefect server of our own for runs without one: `python flows/train.py` on a laptop.

Prefect starts a temporary server by itself, but in the terminal's process group: Ctrl-C kills it
before the flow can report. Ours has its own session, starts while the parent still imports torch,
keeps its database in the workspace, and ends when its parent ends, however the parent ends.
"""

import asyncio
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.error import URLError
from urllib.request import urlopen

from gnn_trainer.control import StopController
from gnn_trainer.errors import ServiceError

START_TIMEOUT_S = 90.0  # a first start creates the database: 10 s on a quiet machine
STOP_TIMEOUT_S = 5.0
_POLL_S = 0.05


class LocalServer:
    """A child process that serves Prefect's API on loopback; a context manager that ends it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._port = _free_port()
        self._log_path = folder / "server.log"
        with self._log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "flows.local_server", str(self._port), str(folder)],
                env=os.environ | _server_variables(folder),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/api"

    def wait_until_ready(
        self, stop: StopController | None = None, timeout_s: float = START_TIMEOUT_S
    ) -> None:
        """Return when the API answers.

        Raises:
            ServiceError: the process ended or the time is up; the message has its last words.
            StopRequested: asked to stop before.
        """
        deadline = time.monotonic() + timeout_s
        while not _answers(f"{self.api_url}/health"):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise ServiceError(
                    f"Prefect's local server did not start within {timeout_s:.0f} s "
                    f"(exit code {self._process.poll()}). Try again, or remove "
                    f"{self._log_path.parent}, which holds nothing but its history of runs. "
                    f"Its last words: {self._log_path.read_text(errors='replace')[-500:]}"
                )
            if stop is None:
                time.sleep(_POLL_S)
            elif stop.wait(_POLL_S):
                stop.check()

    def stop(self) -> None:
        """End the process; safe to call twice."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _server_variables(folder: Path) -> dict[str, str]:
    database = (folder / "prefect.db").resolve()
    return {
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{database}",
        "PREFECT_SERVER_DATABASE_MIGRATE_ON_START": "false",  # done under a lock, see _serve
        "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",  # results need no registered block
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_UI_ENABLED": "false",
        "PREFECT__SERVER_EPHEMERAL": "1",  # only the services that a single flow run needs
        "PREFECT__SERVER_FINAL": "1",
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=STOP_TIMEOUT_S) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Hold a lock file, so that two first runs in one workspace do not create one database."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


async def _serve(port: int, folder: Path) -> None:
    import uvicorn
    from prefect.server.api.server import create_app
    from prefect.server.database import provide_database_interface

    with _exclusive(folder / "prefect.lock"):
        await provide_database_interface().create_db()
    config = uvicorn.Config(create_app(), host="127.0.0.1", port=port, log_level="critical")
    await uvicorn.Server(config).serve()


def _end_with_parent() -> None:
    """The pipe from the parent closes when the parent stops us, ends, or is killed."""
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    asyncio.run(_serve(int(sys.argv[1]), Path(sys.argv[2])))
