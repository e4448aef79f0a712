"""Where the files of a published version are: a folder, a file:// URI, or keys in a ModelStore."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from gnn_trainer.artifact.pointers import POINTERS, pointer_key
from gnn_trainer.errors import ArtifactError
from gnn_trainer.ports import ModelStore


@dataclass(frozen=True)
class PublishedFiles:
    """The files of one version: what they are called, and how to read one."""

    uri: str
    names: frozenset[str]
    read: Callable[[str], bytes]


def files_at(uri: str) -> PublishedFiles:
    """A version on this machine: its folder, or `<store>/<model>/latest` or `.../champion`.

    Raises:
        ArtifactError: no such folder, or a scheme other than file://.
    """
    path = _local_path(uri)
    if path.name in POINTERS and not path.is_dir():
        pointer = path.with_name(f"{path.name}.json")
        if not pointer.is_file():
            raise ArtifactError(f"no model at {uri}: {pointer} does not exist; train one first")
        path = path.with_name(pointed_version(pointer.read_bytes(), str(pointer)))
    if not path.is_dir():
        raise ArtifactError(
            f"no model at {uri}; expected the folder of a published version, or "
            "<folder of models>/<model name>/latest"
        )
    names = (entry.name for entry in path.iterdir())
    return PublishedFiles(
        uri=str(path),
        names=frozenset(name for name in names if not name.startswith(".")),
        read=lambda name: (path / name).read_bytes(),
    )


def files_in(store: ModelStore, model_name: str, version: str) -> PublishedFiles:
    """A version in a store; `version` may be `latest` or `champion`.

    Raises:
        ArtifactError: no such pointer.
    """
    if version in POINTERS:
        key = pointer_key(model_name, version)
        version = pointed_version(store.read(key), f"{store.location}/{key}")
    prefix = f"{model_name}/{version}/"
    return PublishedFiles(
        uri=f"{store.location}/{model_name}/{version}",
        names=frozenset(key.removeprefix(prefix) for key in store.keys(prefix)),
        read=lambda name: store.read(prefix + name),
    )


def pointed_version(data: bytes, where: str) -> str:
    """The version that a pointer file names."""
    try:
        version = json.loads(data)["version"]
    except (ValueError, KeyError, TypeError) as exc:
        raise ArtifactError(f"{where} is no pointer; expected JSON with a `version`") from exc
    if not isinstance(version, str) or Path(version).name != version:
        raise ArtifactError(f"{where} points at {version!r}; expected the name of a version")
    return version


def _local_path(uri: str) -> Path:
    if "://" not in uri:
        return Path(uri)
    parts = urlsplit(uri)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        raise ArtifactError(f"cannot load from {uri}; expected a folder or file:///folder")
    return Path(unquote(parts.path))
