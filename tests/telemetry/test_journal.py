"""What outlives a killed process."""

import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from gnn_trainer.telemetry.journal import Journal, open_journal

NOW = 1_700_000_000.0
DAY_S = 86_400
HOLDER = """
import sys, time
from pathlib import Path
from gnn_trainer.telemetry.journal import open_journal
journal = open_journal(Path(sys.argv[1]), "queue-1", time.time())
journal.save(attempt=2, seq=7, timestamp=1.5, ended=False, undelivered=["{}"])
print("held", flush=True)
sys.stdin.read()
"""


def save(journal: Journal, *, ended: bool, undelivered: Sequence[str] = ()) -> None:
    journal.save(attempt=1, seq=3, timestamp=1.5, ended=ended, undelivered=undelivered)


def test_a_new_run_has_no_past(tmp_path: Path) -> None:
    with open_journal(tmp_path, "queue-1", NOW) as journal:
        assert journal.past is None


@pytest.mark.parametrize("ended", [True, False])
def test_the_next_run_reads_what_was_saved(tmp_path: Path, ended: bool) -> None:
    with open_journal(tmp_path, "queue-1", NOW) as journal:
        save(journal, ended=ended, undelivered=["a", "ä\n"])
    with open_journal(tmp_path, "queue-1", NOW) as journal:
        assert journal.past is not None
        assert (journal.past.seq, journal.past.undelivered) == (3, ("a", "ä\n"))
        assert journal.past.is_abandoned is not ended


def test_another_queue_has_another_journal(tmp_path: Path) -> None:
    for queue_id in ("a/b", "a_b", "../x", "ä" * 300):
        with open_journal(tmp_path, queue_id, NOW) as journal:
            assert journal.past is None
            save(journal, ended=False)
    assert len(list((tmp_path / "telemetry").glob("*.json"))) == 4


def test_two_living_runs_of_one_queue_do_not_share_a_journal(tmp_path: Path) -> None:
    with open_journal(tmp_path, "queue-1", NOW) as first:
        save(first, ended=False)
        with open_journal(tmp_path, "queue-1", NOW) as second:
            assert second.past is None


def test_a_killed_run_is_carried_on_before_an_ended_one(tmp_path: Path) -> None:
    with (
        open_journal(tmp_path, "queue-1", NOW) as first,
        open_journal(tmp_path, "queue-1", NOW) as second,
    ):
        save(first, ended=True)
        save(second, ended=False)
    with open_journal(tmp_path, "queue-1", NOW) as third:
        assert third.past is not None
        assert third.past.is_abandoned


def test_a_kill_gives_the_journal_to_the_next_run(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with open_journal(tmp_path, "queue-1", NOW) as other:
            assert other.past is None
        holder.kill()
    with open_journal(tmp_path, "queue-1", NOW) as journal:
        assert journal.past is not None
        assert (journal.past.attempt, journal.past.seq) == (2, 7)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"queue_id": "queue-1"}', b"\xff"])
def test_a_damaged_journal_counts_as_none(tmp_path: Path, content: bytes) -> None:
    with open_journal(tmp_path, "queue-1", NOW) as journal:
        save(journal, ended=False)
    (path,) = (tmp_path / "telemetry").glob("*.json")
    path.write_bytes(content)
    with open_journal(tmp_path, "queue-1", NOW) as journal:
        assert journal.past is None
        save(journal, ended=False)


def test_a_folder_that_cannot_be_written_costs_only_the_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    (tmp_path / "telemetry").write_text("a file in the way")
    with open_journal(tmp_path, "queue-1", NOW) as journal:
        save(journal, ended=False)
        save(journal, ended=True)
    assert len(caplog.messages) == 1


def test_a_disk_that_refuses_later_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_journal(tmp_path, "queue-1", NOW) as journal:
        for path in (tmp_path / "telemetry").iterdir():
            path.unlink()
        (tmp_path / "telemetry").rmdir()
        save(journal, ended=False)
        save(journal, ended=False)
    assert len(caplog.messages) == 1


def test_journals_of_long_ago_are_removed_unless_a_run_holds_them(tmp_path: Path) -> None:
    with open_journal(tmp_path, "gone", NOW) as gone, open_journal(tmp_path, "alive", NOW) as alive:
        save(gone, ended=True)
        save(alive, ended=False)
        gone.close()
        for path in (tmp_path / "telemetry").glob("*.json"):
            os.utime(path, (NOW - 8 * DAY_S, NOW - 8 * DAY_S))
        open_journal(tmp_path, "other", NOW).close()
        names = {path.name.split("-")[0] for path in (tmp_path / "telemetry").glob("*.json")}
    assert names == {"alive"}
