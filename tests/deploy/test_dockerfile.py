"""The Dockerfile, read line by line and carried out as far as a machine without an engine can."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from gnn_trainer.settings import variables as settings_variables
from tests.deploy.image import (
    CODE,
    ROOT,
    Container,
    can_enter,
    context,
    copies,
    final_stage,
    instructions,
    make_container,
    the_only,
    variables,
)
from tests.flows.service import small_flags

CMD = ["python", "flows/train.py"]


@pytest.fixture(scope="module")
def container() -> Iterator[Container]:
    if not can_enter():
        pytest.skip("only root on Linux, with the right to mount, can enter a root of its own")
    with tempfile.TemporaryDirectory(prefix="image-") as folder:
        Path(folder).chmod(0o755)
        yield make_container(Path(folder))


@pytest.fixture
def workspace() -> Iterator[Path]:
    """Of its own, since pytest's folders let nobody else in."""
    with tempfile.TemporaryDirectory(prefix="workspace-") as folder:
        yield Path(folder)


def test_the_linter_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    ended = subprocess.run(
        [hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "")


def test_every_file_that_is_copied_is_sent_and_nothing_else_is() -> None:
    sent = context(ROOT)
    sources = {source for group, _ in copies() for source in group}
    for source in sources:
        assert any(Path(path).is_relative_to(source) for path in sent), source
    used = {path for path in sent if any(Path(path).is_relative_to(one) for one in sources)}
    assert used == sent
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert sent <= set(tracked.stdout.splitlines())


def test_what_lies_about_in_a_checkout_stays_out_of_the_image(tmp_path: Path) -> None:
    for name in (".env", ".git/config", ".venv/bin/python", ".gnn-trainer/models/x", "key.pem"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("private")
    (tmp_path / "flows" / "__pycache__").mkdir(parents=True)
    (tmp_path / "flows" / "__pycache__" / "train.pyc").write_text("stale")
    (tmp_path / "flows" / "train.py").write_text("")
    assert context(tmp_path) == {"flows/train.py"}


def test_it_runs_as_a_numbered_user_from_an_init_that_passes_signals_on() -> None:
    assert the_only("USER").text == "10001:10001"
    assert the_only("ENTRYPOINT").words == ["tini", "--"]
    assert the_only("CMD").words == CMD
    (install,) = [one.text for one in final_stage() if "apt-get install" in one.text]
    assert " tini=" in install
    assert "--no-install-recommends" in install
    last_writer = max(at for at, one in enumerate(final_stage()) if one.name in ("RUN", "COPY"))
    assert final_stage().index(the_only("USER")) > last_writer  # and owns nothing of the code


def test_no_secret_and_no_address_is_built_in() -> None:
    secrets = {
        name
        for env, info in settings_variables()
        if SecretStr in (info.annotation, *getattr(info.annotation, "__args__", ()))
        for name in env.names
    }
    assert "MINIO_SECRET_KEY" in secrets
    text = "\n".join(one.text for one in instructions())
    assert [name for name in secrets if name in text] == []
    assert "://" not in text
    assert not any(one.name == "ADD" for one in instructions())


def test_the_torch_index_is_used_only_if_one_is_given() -> None:
    (install,) = [one.text for one in instructions() if one.text.endswith(" torch")]
    words = install.split("pip --python", 1)[1]
    for index, expected in (("", 0), ("an-index", 2)):
        shown = subprocess.run(
            ["sh", "-c", f"printf '%s\\n' {words}"],
            env={"TORCH_INDEX_URL": index, "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        assert sum(word in ("--index-url", "an-index") for word in shown) == expected
        assert shown[shown.index("--constraint") + 1] == "constraints.txt"


def test_everything_that_is_written_goes_to_the_one_writable_mount() -> None:
    writable = the_only("VOLUME").text
    environ = variables()
    for name in ("HOME", "TMPDIR", "WORKSPACE", "PREFECT_HOME"):
        assert Path(environ[name]).is_relative_to(writable), name
    assert environ["PYTHONDONTWRITEBYTECODE"] == "1"


def test_the_commands_are_there_and_load_the_one_copy_of_the_code(
    container: Container, workspace: Path
) -> None:
    for command in (["gnn-trainer", "--help"], [*CMD, "--help"]):
        assert container.run(workspace, *command).returncode == 0
    where = "import gnn_trainer, flows; print(gnn_trainer.__file__, flows.__file__)"
    found = container.run(workspace, "python", "-c", where).stdout.split()
    assert found == [f"{CODE}/{package}/__init__.py" for package in ("gnn_trainer", "flows")]
    assert list(workspace.iterdir()) == []


def test_nothing_but_the_mount_can_be_written_to(container: Container, workspace: Path) -> None:
    tried = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text('')"
    for place in ("/opt/gnn-trainer/x", "/opt/venv/x", "/x"):
        ended = container.run(workspace, "python", "-c", tried, place)
        assert "Error" in ended.stdout, place
    assert container.run(workspace, "python", "-c", tried, "/workspace/x").returncode == 0


def test_with_no_arguments_it_trains_offline(container: Container, workspace: Path) -> None:
    smaller = ["env", "OMP_NUM_THREADS=1", "SIMULATED_SYMBOLS=5"]
    ended = container.run(workspace, *smaller, *the_only("CMD").words, *small_flags())
    assert ended.returncode == 0, ended.stdout
    assert (workspace / "models" / "small" / "latest.json").exists()


def test_a_workspace_that_cannot_be_written_to_is_said_at_once(
    container: Container, workspace: Path
) -> None:
    ended = container.run(workspace, "env", "WORKSPACE=/opt/elsewhere", *CMD)
    assert ended.returncode == 2
    assert "/opt/elsewhere" in ended.stdout
