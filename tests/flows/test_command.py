"""The command line: what it refuses, how fast it answers, and its exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TRAIN = Path(__file__).resolve().parents[2] / "flows" / "train.py"
NOBODY = "http://127.0.0.1:9"  # the discard port: nothing answers
HEAVY = {"lightgbm", "matplotlib", "pandas", "polars", "prefect", "scipy", "sklearn", "torch"}


def run_train(*flags: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """`python flows/train.py` in an environment that has only `variables`."""
    environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    own = {"PYTHONPATH": str(TRAIN.parents[1]), "PREFECT_API_URL": NOBODY, "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, str(TRAIN), *flags],
        env=environ | own | variables,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_torchrun_is_told_how_processes_share_a_fit(tmp_path: Path) -> None:
    refused = run_train(folder=tmp_path, TORCHELASTIC_RUN_ID="none")

    assert refused.returncode == 2
    assert "--fit.processes" in refused.stderr
    assert list(tmp_path.iterdir()) == []


def test_help_names_flags_and_variables_without_importing_anything_heavy(tmp_path: Path) -> None:
    asked = run_train("--help", folder=tmp_path, PYTHONPROFILEIMPORTTIME="1")

    assert asked.returncode == 0
    assert "--time-range" in asked.stdout
    assert "MINIO_ENDPOINT" in asked.stdout
    imported = {line.rpartition("|")[2].strip() for line in asked.stderr.splitlines()}
    assert "pydantic" in imported
    assert imported.isdisjoint(HEAVY)


def test_importing_the_package_imports_nothing_heavy() -> None:
    program = f"import gnn_trainer, sys; sys.exit(not {HEAVY!r}.isdisjoint(sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_every_configuration_problem_is_shown_at_once_and_nothing_is_started(
    tmp_path: Path,
) -> None:
    refused = run_train(
        "--interval", "7m", folder=tmp_path, EPOCHS="many", EPOCH="3", MINIO_ENDPONT="minio:9000"
    )

    assert refused.returncode == 2
    for shown in ("7m", "many", "EPOCH", "MINIO_ENDPOINT"):
        assert shown in refused.stderr
    assert "Traceback" not in refused.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_flag_is_refused(tmp_path: Path) -> None:
    refused = run_train("--epoch", "3", folder=tmp_path)

    assert refused.returncode == 2
    assert "--epoch" in refused.stderr


def test_a_flag_beats_a_bad_variable_of_the_same_setting(tmp_path: Path) -> None:
    refused = run_train("--epochs", "3", "--seed", "x", folder=tmp_path, EPOCHS="many")

    assert "many" not in refused.stderr
    assert "--seed" in refused.stderr


@pytest.mark.skipif(not Path("/sys").is_dir(), reason="no folder that even root may not write")
def test_a_read_only_workspace_is_refused_before_anything_starts(tmp_path: Path) -> None:
    refused = run_train(folder=tmp_path, WORKSPACE="/sys/workspace")

    assert refused.returncode == 2
    assert "WORKSPACE" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_workspace_that_is_a_file_is_refused_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")

    refused = run_train(folder=tmp_path, WORKSPACE=str(tmp_path / "taken"))

    assert refused.returncode == 2
    assert "WORKSPACE" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_prefect_server_that_is_away_is_named(tmp_path: Path) -> None:
    failed = run_train(folder=tmp_path)

    assert failed.returncode == 1
    assert NOBODY in failed.stderr
    assert "PREFECT_API_URL" in failed.stderr
    assert "Traceback" not in failed.stderr


STUCK = """
import threading
from pathlib import Path
from flows import command
from flows.session import open_session
from gnn_trainer.control import StopController
from gnn_trainer.settings import build_config

command.LAST_RESORT_S = 0.05
settings, _ = build_config({"WORKSPACE": "workspace"}, {})
with open_session(settings, StopController()) as session, command._last_resort(session):
    session.stop.request("sigterm")
    threading.Event().wait()
"""


def test_a_run_that_hangs_after_a_stop_tells_its_ending_and_ends(tmp_path: Path) -> None:
    stuck = subprocess.run(
        [sys.executable, "-c", STUCK],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(TRAIN.parents[1])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert stuck.returncode == 143, stuck.stderr
    lines = (tmp_path / "workspace" / "events.jsonl").read_text().splitlines()
    endings = [event for event in map(json.loads, lines) if event["finished"]]
    assert [event["status"] for event in endings] == ["interrupted"]
    assert "cut short" in endings[0]["message"]
