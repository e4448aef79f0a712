"""Files that are there whole or not at all, and plain words for what disks refuse.

A writer killed at any point leaves the old file or the new one, and at worst a `.tmp` that no
reader looks at and the next writer removes.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gnn_trainer.errors import ConfigError, GnnTrainerError, ServiceError

_TEMPORARY = ".tmp"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST)


def write_whole(path: Path, *pieces: bytes | memoryview) -> None:
    """Replace `path` by the pieces in one step that survives a kill and a power cut.

    Raises:
        ConfigError: the folder may not be written.
        ServiceError: the disk is full or broken; `path` is as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{_TEMPORARY}")
    with storage_errors(path):
        try:
            with temporary.open("wb") as file:
                file.writelines(pieces)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


@contextmanager
def writing_in(folder: Path) -> Iterator[None]:
    """Hold the folder's lock against other processes and threads; make the folder if need be."""
    with storage_errors(folder):
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            sync_folder(folder.parent)
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        with storage_errors(folder):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            for leftover in folder.glob(f".*{_TEMPORARY}"):
                leftover.unlink(missing_ok=True)
        yield
    finally:
        os.close(descriptor)  # releases the lock, as does a kill


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn an OSError on `path` into the error a person can act on."""
    try:
        yield
    except OSError as exc:
        raise _explained(path, exc) from exc


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` as durable as the contents."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _explained(path: Path, exc: OSError) -> GnnTrainerError:
    reason = exc.strerror or str(exc)
    if exc.errno in _FULL:
        return ServiceError(
            f"disk full at {path} ({reason}); free space or set WORKSPACE to a larger disk and run "
            "again: what was stored before is whole and is kept"
        )
    if exc.errno in _FORBIDDEN:
        return ConfigError(
            f"WORKSPACE cannot be used at {path} ({reason}); expected a folder this user may "
            "write: set WORKSPACE to one"
        )
    return ServiceError(f"storage failed at {path} ({reason}); check the disk and run again")
