"""Settings of the process that must be made before numpy, torch or polars are loaded."""

import ctypes
import math
import os
import sys
from collections.abc import Iterator, MutableMapping
from pathlib import Path, PurePosixPath

# torch, LightGBM, scikit-learn and the linear algebra of numpy and MKL read the first one.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "POLARS_MAX_THREADS")

# glibc's mallopt. Tensors of a training step come and go; by default each is mapped anew, and where
# page faults are dear (virtual machines) filling the new pages took longer than the arithmetic: up
# to 2.8 times as long in all. What is kept back in exchange is bounded by the second setting.
_MALLOPT = {
    -3: 32 << 20,  # M_MMAP_THRESHOLD, its maximum: below it, memory is used again
    -1: 512 << 20,  # M_TRIM_THRESHOLD: free memory above it goes back to the system
    -2: 64 << 20,  # M_TOP_PAD: grow in large steps
    -8: 1,  # M_ARENA_MAX: for all threads, tasks do not run on the first one
}


def settle_process(environ: MutableMapping[str, str] = os.environ) -> None:
    """Threads and allocator of a process that computes; what `environ` already says stays."""
    # Threads with nothing to do sleep instead of spinning. On cores shared with other work,
    # spinning made a training epoch three times slower.
    environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    threads = str(usable_cores())
    for name in THREAD_VARIABLES:
        environ.setdefault(name, threads)
    _keep_memory()


def usable_cores(root: Path = Path("/")) -> int:
    """Cores this process may keep busy: its affinity, and the quota of its control groups.

    A container with a limit of 2 CPUs sees all cores of its node; a thread on each of them would
    be put to sleep most of the time. Parts of a core count as one.
    """
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, math.ceil(min((cores, *cpu_quotas(root)))))


def cpu_quotas(root: Path) -> Iterator[float]:
    """CPUs allowed by each control group that this process is in, versions 1 and 2."""
    try:
        memberships = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return  # not Linux, or nothing to know
    mounts = root / "sys/fs/cgroup"
    for membership in memberships:
        _, controllers, group = membership.split(":", 2)
        if controllers == "":
            for folder in _groups(mounts, group):
                yield from _quota_2(folder / "cpu.max")
        elif "cpu" in controllers.split(","):
            for mount in (mounts / "cpu", mounts / controllers):
                for folder in _groups(mount, group):
                    yield from _quota_1(folder)


def _groups(mount: Path, group: str) -> Iterator[Path]:
    """The group's folder and those above it. Inside a container only the last may be there."""
    inside = PurePosixPath(group.lstrip("/"))
    for part in (inside, *inside.parents):
        yield mount / part


def _quota_2(file: Path) -> Iterator[float]:
    try:
        quota, period = file.read_text().split()
        if quota != "max":
            yield int(quota) / int(period)
    except (OSError, ValueError):
        return  # no such group, or a format that is not known: no limit is known


def _quota_1(folder: Path) -> Iterator[float]:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return
    if quota > 0 and period > 0:  # -1 is no limit
        yield quota / period


def _keep_memory() -> None:
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # musl has none
        for option, value in _MALLOPT.items():
            mallopt(option, value)
