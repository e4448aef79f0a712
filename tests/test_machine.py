"""How many threads a process starts, from made-up control groups."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gnn_trainer.machine import THREAD_VARIABLES, cpu_quotas, settle_process, usable_cores


def machine(root: Path, membership: str, files: dict[str, str]) -> Path:
    """A root folder with /proc/self/cgroup and files under /sys/fs/cgroup."""
    for name, text in {
        "proc/self/cgroup": membership,
        **{f"sys/fs/cgroup/{name}": text for name, text in files.items()},
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


@pytest.mark.parametrize(
    ("membership", "files", "quotas"),
    [
        ("0::/", {"cpu.max": "200000 100000"}, [2.0]),
        ("0::/", {"cpu.max": "max 100000"}, []),
        ("0::/", {}, []),
        ("0::/pods/one", {"pods/one/cpu.max": "max 100000", "pods/cpu.max": "50000 100000"}, [0.5]),
        ("0::/of/the/node", {"cpu.max": "300000 100000"}, [3.0]),  # the group is not seen inside
        (
            "4:cpu,cpuacct:/pod\n0::/",
            {
                "cpu,cpuacct/pod/cpu.cfs_quota_us": "150000",
                "cpu,cpuacct/pod/cpu.cfs_period_us": "100000",
            },
            [1.5],
        ),
        ("4:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, []),
        ("7:cpuset:/a", {"cpu/a/cpu.cfs_quota_us": "1", "cpu/a/cpu.cfs_period_us": "1"}, []),
        ("0::/", {"cpu.max": "what is this"}, []),
    ],
)  # fmt: skip
def test_quotas_of_control_groups(
    tmp_path: Path, membership: str, files: dict[str, str], quotas: list[float]
) -> None:
    assert list(dict.fromkeys(cpu_quotas(machine(tmp_path, membership, files)))) == quotas


def test_there_is_always_one_core_and_never_more_than_there_are(tmp_path: Path) -> None:
    assert usable_cores(machine(tmp_path, "0::/", {"cpu.max": "1000 100000"})) == 1
    (tmp_path / "sys/fs/cgroup/cpu.max").write_text("99900000 100000")
    assert usable_cores(tmp_path) == usable_cores(tmp_path / "nothing here")


def test_a_part_of_a_core_is_a_thread(tmp_path: Path) -> None:
    limit = len(os.sched_getaffinity(0)) - 0.5
    given = machine(tmp_path, "0::/", {"cpu.max": f"{int(limit * 100_000)} 100000"})
    assert usable_cores(given) == len(os.sched_getaffinity(0))


def test_what_the_environment_says_stays() -> None:
    environ = {"OMP_NUM_THREADS": "7", "OMP_WAIT_POLICY": "ACTIVE"}
    settle_process(environ)
    assert environ["OMP_NUM_THREADS"] == "7"
    assert environ["OMP_WAIT_POLICY"] == "ACTIVE"
    assert environ["POLARS_MAX_THREADS"] == str(usable_cores())
    assert set(THREAD_VARIABLES) < set(environ)


def test_libraries_take_the_number_of_threads_from_where_the_process_starts() -> None:
    program = (
        "import flows, torch, polars; print(torch.get_num_threads(), polars.thread_pool_size())"
    )
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "5"}
    answer = subprocess.run(
        [sys.executable, "-c", program], env=environ, check=True, text=True, stdout=subprocess.PIPE
    )
    assert answer.stdout.split() == ["1", "5"]
