"""Published models in a folder: the ModelStore of a machine without an object store."""

from pathlib import Path

from gnn_trainer.adapters.keys import segments_of
from gnn_trainer.errors import ArtifactError
from gnn_trainer.market.durable import storage_errors, write_whole, writing_in
from gnn_trainer.ports import Change, ModelStore


class FolderStore(ModelStore):
    """Keys are paths below `root`. Safe for several processes; a file is whole or absent.

    Names starting with a dot (locks, files being written) are the store's own and no keys.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self.location = str(self._root)

    def prepare(self) -> None:
        """Raises ConfigError where the folder may not be written."""
        with writing_in(self._root):
            pass

    def put_file(self, key: str, path: Path) -> None:
        with storage_errors(path):
            data = path.read_bytes()
        self.put_bytes(key, data)

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
        found = (path.relative_to(self._root) for path in self._root.rglob("*") if path.is_file())
        names = (
            path.as_posix() for path in found if not any(part[0] == "." for part in path.parts)
        )
        return sorted(name for name in names if name.startswith(prefix))

    def remove(self, key: str) -> None:
        path = self._path(key)
        with storage_errors(path):
            if path.is_file():
                path.unlink()

    def update(self, key: str, change: Change) -> bool:
        path = self._path(key)
        with writing_in(path.parent):
            data = change(path.read_bytes() if path.is_file() else None)
            if data is not None:
                write_whole(path, data)
        return data is not None

    def _path(self, key: str) -> Path:
        return self._root.joinpath(*segments_of(key))
