"""The image without a container engine: what the Dockerfile says, and a tree made as it says.

`Container` runs a command in that tree as Kubernetes would: as user 10001, with a root that is
read-only and one writable mount.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

from docker.utils.build import exclude_paths

ROOT = Path(__file__).resolve().parents[2]
BASE_PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
CODE, ENVIRONMENT, WRITABLE = "/opt/gnn-trainer", "/opt/venv", "/workspace"
SYSTEM = [Path("/", name) for name in ("usr", "etc", "dev", "proc", "bin", "sbin", "lib", "lib64")]
OUR_PACKAGES = sysconfig.get_path("purelib")
DEADLINE_S = 300.0

_ENTER = """
set -eu
root=$1; workspace=$2; mode=$3; user=$4; shift 4
mount --make-rprivate /
mount --bind "$root" "$root"
while [ "$1" != -- ]; do mount --bind "$1" "$root$1"; shift; done; shift
mount --bind "$workspace" "$root/workspace"
mount --options "remount,bind,$mode" "$root"
exec chroot --userspec="$user" --groups= "$root" "$@"
"""


@dataclass(frozen=True)
class Instruction:
    """One line of a Dockerfile, its continuations joined."""

    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """Its arguments; of the exec form, the JSON list."""
        return json.loads(self.text) if self.text.startswith("[") else shlex.split(self.text)


def instructions() -> list[Instruction]:
    """The Dockerfile from top to bottom."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [Instruction(*line.split(maxsplit=1)) for line in lines if line.strip()]


def final_stage() -> list[Instruction]:
    """What the image itself is made of, after the last FROM."""
    found = instructions()
    return found[max(at for at, one in enumerate(found) if one.name == "FROM") + 1 :]


def the_only(name: str) -> Instruction:
    """The one instruction of this name in the final stage."""
    (one,) = [one for one in final_stage() if one.name == name]
    return one


def variables() -> dict[str, str]:
    """The environment that the image gives to a process."""
    found = {"PATH": BASE_PATH}
    for one in final_stage():
        if one.name == "ENV":
            for word in one.words:
                name, value = word.split("=", 1)
                found[name] = Template(value).substitute(found)
    return found


def copies() -> list[tuple[list[str], str]]:
    """(sources, target) of every COPY out of the repository."""
    plain = [one.words for one in instructions() if one.name == "COPY"]
    return [(words[:-1], words[-1]) for words in plain if not words[0].startswith("--")]


def context(folder: Path) -> set[str]:
    """The files of a folder that an engine would be sent, by our .dockerignore."""
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [rule for rule in rules if rule and not rule.startswith("#")]
    paths: set[str] = exclude_paths(str(folder), rules)
    return {path for path in paths if (folder / path).is_file()} - {"Dockerfile", ".dockerignore"}


def copy_code(target: Path) -> None:
    """What all COPY instructions together bring, and nothing else."""
    for sources, destination in copies():
        for path in sorted(context(ROOT)):
            for source in sources:
                if Path(path).is_relative_to(source):
                    inside = Path(path).relative_to(source)
                    place = target / destination / inside
                    if inside == Path():  # a file, into a folder
                        place = target / destination / Path(source).name
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(ROOT / path, place)


@dataclass(frozen=True)
class Container:
    """A root made as the Dockerfile says, around this machine's system and our dependencies."""

    root: Path

    def run(self, workspace: Path, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command as the image's user, who may write to `workspace` alone."""
        os.chown(workspace, 10001, 10001)
        return self._enter(workspace, "ro", the_only("USER").text, variables(), command)

    def build(self, *command: str) -> None:
        """Run a command as RUN does: by root, who may write anywhere."""
        ended = self._enter(self.root / WRITABLE[1:], "rw", "0:0", {"PATH": BASE_PATH}, command)
        assert ended.returncode == 0, ended.stdout

    def _enter(
        self,
        workspace: Path,
        mode: str,
        user: str,
        environ: Mapping[str, str],
        command: Sequence[str],
    ) -> "subprocess.CompletedProcess[str]":
        entered = [str(self.root), str(workspace), mode, user, *system_places(), "--"]
        settings = [f"{name}={value}" for name, value in environ.items()]
        clean = ["env", "--ignore-environment", f"--chdir={CODE}", *settings]
        return subprocess.run(
            ["unshare", "--mount", "sh", "-c", _ENTER, "sh", *entered, *clean, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )


def can_enter() -> bool:
    """Whether this process may make mounts of its own, as `Container` does."""
    return (
        sys.platform == "linux"
        and os.geteuid() == 0
        and subprocess.run(["unshare", "--mount", "true"], check=False).returncode == 0
    )


def make_container(folder: Path) -> Container:
    """One in an empty folder that everybody may enter."""
    for link in SYSTEM:
        if link.is_symlink():
            (folder / link.name).symlink_to(os.readlink(link))
    for place in (*system_places(), WRITABLE):
        (folder / place[1:]).mkdir(parents=True, exist_ok=True)
    copy_code(folder / CODE[1:])
    made = Container(folder)
    made.build(f"{sys.base_prefix}/bin/python3", "-m", "venv", "--without-pip", ENVIRONMENT)
    # A .pth inside a folder that a .pth names is not followed: the checkout stays out of it.
    (packages,) = (folder / ENVIRONMENT[1:]).glob("lib/python3*/site-packages")
    (packages / "dependencies.pth").write_text(f"{OUR_PACKAGES}\n")
    install = ["--quiet", "--no-deps", "--no-build-isolation", "--editable", "."]
    made.build(f"{ENVIRONMENT}/bin/python", "-m", "pip", "install", *install)
    return made


def system_places() -> list[str]:
    """What stands in for the base image and for the dependencies, which the tests have anyway."""
    system = [str(place) for place in SYSTEM if place.is_dir() and not place.is_symlink()]
    ours = [place for place in (sys.base_prefix, OUR_PACKAGES) if not place.startswith("/usr/")]
    return [*system, *ours]
