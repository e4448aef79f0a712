"""The Prefect server of a run that has none."""

import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from flows.local_server import LocalServer
from gnn_trainer.errors import ServiceError

WAIT_S = 240.0
PARENT = """
import sys
from pathlib import Path
from flows.local_server import LocalServer

server = LocalServer(Path(sys.argv[1]))
server.wait_until_ready()
print(server.api_url, flush=True)
sys.stdin.read()
"""


def answers(api_url: str) -> bool:
    try:
        with urlopen(f"{api_url}/health", timeout=5.0) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def test_the_server_ends_with_its_parent_even_if_that_is_killed(
    api_url: str, server_folder: Path
) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(server_folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        assert parent.stdout is not None
        own_url = parent.stdout.readline().strip()
        assert answers(own_url)
        parent.kill()

    deadline = time.monotonic() + WAIT_S
    while answers(own_url):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert answers(api_url)  # the other server with the same database


def test_a_server_that_cannot_start_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    (tmp_path / "prefect.db").write_text("no database")

    with LocalServer(tmp_path) as server, pytest.raises(ServiceError, match="not a database"):
        server.wait_until_ready()


def test_a_server_can_be_stopped_before_it_was_ready_and_twice(tmp_path: Path) -> None:
    server = LocalServer(tmp_path)

    server.stop()
    server.stop()

    assert not answers(server.api_url)
