"""Where archive files come from, and that each is the one its .CHECKSUM was made for."""

import hashlib
import http.client
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from gnn_trainer.errors import (
    ConfigError,
    DataError,
    GnnTrainerError,
    ServiceError,
    TransientServiceError,
)

TIMEOUT_S = 30.0
WAITS_S = (1.0, 4.0, 16.0)  # before each further attempt at one file


class ArchiveFiles(Protocol):
    """Files by their path in the archive, e.g. `data/spot/monthly/klines/...`."""

    location: str
    is_local: bool  # asking for a file that is not there costs nothing

    def read(self, path: str) -> bytes | None:
        """The file's content; None when there is no such file."""
        ...


class FolderArchive:
    """A mirror of the archive, or the files of one market in one flat folder."""

    is_local = True

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise ConfigError(
                f"archive folder {folder} does not exist; expected a folder of downloaded archive "
                "files or a URL such as https://data.binance.vision"
            )
        self.location = str(folder)
        self._folder = folder

    def read(self, path: str) -> bytes | None:
        for candidate in (self._folder / path, self._folder / Path(path).name):
            try:
                return candidate.read_bytes()
            except FileNotFoundError:
                continue
            except OSError as exc:
                raise ConfigError(
                    f"archive file {candidate} cannot be read ({exc.strerror}); expected a file "
                    "this user may read"
                ) from exc
        return None


class HttpArchive:
    """An archive served over HTTP as https://data.binance.vision serves it."""

    is_local = False

    def __init__(self, base_url: str, wait: Callable[[float], None]) -> None:
        self.location = base_url.rstrip("/")
        self._wait = wait

    def read(self, path: str) -> bytes | None:
        for wait_s in WAITS_S:
            try:
                return self._read_once(path)
            except TransientServiceError:
                self._wait(wait_s)
        return self._read_once(path)

    def _read_once(self, path: str) -> bytes | None:
        url = f"{self.location}/{urllib.parse.quote(path)}"
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:
                content: bytes = response.read()
        except urllib.error.HTTPError as exc:
            with exc:
                error = _refusal(path, exc.code)
            if error is not None:
                raise error from exc
            return None
        except (OSError, http.client.HTTPException) as exc:
            raise TransientServiceError(
                f"archive file {path} did not arrive ({exc}); check the network and run again: "
                "what was imported before is kept"
            ) from exc
        return content


def open_archive(location: str, wait: Callable[[float], None] = time.sleep) -> ArchiveFiles:
    """The archive at a base URL (http, https) or in a local folder.

    Raises:
        ConfigError: the folder does not exist.
    """
    if location.startswith(("http://", "https://")):
        return HttpArchive(location, wait)
    return FolderArchive(Path(location).expanduser())


def read_verified(files: ArchiveFiles, path: str) -> bytes | None:
    """The content of an archive file whose SHA-256 is the one published beside it.

    The listing of the archive can be stale, so the .CHECKSUM is asked for: no .CHECKSUM, no file.

    Raises:
        DataError: the content is not what the .CHECKSUM says, or only one of the two is there.
    """
    published = files.read(f"{path}.CHECKSUM")
    if published is None:
        if files.is_local and files.read(path) is not None:
            raise DataError(
                f"{path} has no .CHECKSUM beside it in {files.location}; download "
                f"{Path(path).name}.CHECKSUM too, files are not imported unverified"
            )
        return None
    content = files.read(path)
    if content is None:
        raise DataError(f"{path}.CHECKSUM is in {files.location} but the file itself is not")
    expected = published.decode("ascii", errors="replace").split()[:1]
    found = hashlib.sha256(content).hexdigest()
    if expected != [found]:
        raise DataError(
            f"{path} in {files.location} has SHA-256 {found}, its .CHECKSUM says "
            f"{' '.join(expected) or 'nothing'}; the file is damaged or still being replaced, "
            "download it again"
        )
    return content


def _refusal(path: str, status: int) -> GnnTrainerError | None:
    """What an HTTP status means; None for a file that does not exist."""
    if status == 404:
        return None
    if status == 429 or status >= 500:
        return TransientServiceError(f"archive answered HTTP {status} for {path}; try again later")
    if status in (401, 403, 451):
        return ConfigError(
            f"archive refused {path} with HTTP {status}; check the URL and whether this location "
            "may use it, or import from a downloaded folder"
        )
    return ServiceError(f"archive answered HTTP {status} for {path}; expected 200 or 404")
