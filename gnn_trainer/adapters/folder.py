"""Published models in a folder: the ModelStore of a machine without an object store."""

import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path

from gnn_trainer.errors import ArtifactError
from gnn_trainer.market.durable import write_whole, writing_in
from gnn_trainer.ports import ModelStore

logger = logging.getLogger(__name__)

_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*", re.ASCII)


class FolderStore(ModelStore):
    """Keys are paths below `root`. Safe for several processes; a file is whole or absent.

    Names starting with a dot (locks, files being written) are the store's own and no keys.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self.location = str(self._root)

    def put_file(self, key: str, path: Path) -> None:
        self.put_bytes(key, path.read_bytes())

    def put_bytes(self, key: str, data: bytes) -> None:
        """Write or replace.

        Raises:
            ConfigError: the folder may not be written.
            ServiceError: the disk is full.
        """
        path = self._path(key)
        with writing_in(path.parent):
            write_whole(path, data)

    def read(self, key: str) -> bytes:
        try:
            return self._path(key).read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as exc:
            raise ArtifactError(
                f"{key!r} is not in {self.location}; expected a published file"
            ) from exc

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def keys(self, prefix: str) -> list[str]:
        """Keys that start with `prefix`, sorted."""
        found = (path.relative_to(self._root) for path in self._root.rglob("*") if path.is_file())
        names = (
            path.as_posix() for path in found if not any(part[0] == "." for part in path.parts)
        )
        return sorted(name for name in names if name.startswith(prefix))

    def move_pointer(self, key: str, document: Mapping[str, str]) -> bool:
        path = self._path(key)
        with writing_in(path.parent):
            if self._pointed_at(path) >= document["version"]:
                return False
            write_whole(path, json.dumps(dict(document), indent=2, sort_keys=True).encode())
        return True

    def _pointed_at(self, path: Path) -> str:
        """The version a pointer names; "" sorts before every version."""
        try:
            return str(json.loads(path.read_bytes())["version"])
        except FileNotFoundError:
            return ""
        except (ValueError, KeyError, TypeError):
            logger.warning("%s is no pointer (JSON with a `version`); it is replaced", path)
            return ""

    def _path(self, key: str) -> Path:
        segments = key.split("/")
        if not all(map(_SEGMENT.fullmatch, segments)):
            raise ArtifactError(
                f"key {key!r} is not safe; expected names of letters, digits, '.', '_', '-' "
                "joined by '/'"
            )
        return self._root.joinpath(*segments)
