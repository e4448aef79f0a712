"""manifest.json: what a published version consists of and where it came from.

It is written last, so a version with a manifest is complete; it lists every other file with size
and hash, so a version that loads is the one that was published.
"""

import hashlib
import platform
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version as installed_version
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from gnn_trainer.errors import ArtifactError

MANIFEST = "manifest.json"
WALKS, WALK_INDEX = "walk-forward", "walk-forward.json"  # folder of a model name, and in its own
FORMAT: Final = 2
_STRICT = ConfigDict(frozen=True, extra="forbid")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", re.ASCII)
Outcome = Literal["champion", "challenger", "interrupted"]
_DEPENDENCIES = ("numpy", "polars", "pydantic", "safetensors", "torch", "torch-geometric")


def _plain(name: str) -> str:
    if not _PLAIN_NAME.fullmatch(name):
        raise ValueError(f"file name {name!r} could lead out of the version's folder")
    return name


class FileRecord(BaseModel):
    """Length in bytes and sha256 (hex) of one file."""

    model_config = _STRICT

    size: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")

    @classmethod
    def of(cls, data: bytes) -> "FileRecord":
        return cls(size=len(data), sha256=hashlib.sha256(data).hexdigest())


class DataRecord(BaseModel):
    """What the model was trained on: bars with start_ms <= open time < end_ms, unix ms."""

    model_config = _STRICT

    source: str
    fingerprint: str
    interval: str
    symbols: tuple[str, ...]
    start_ms: int
    end_ms: int


class Manifest(BaseModel):
    """The contents of manifest.json."""

    model_config = _STRICT

    format: Literal[2] = FORMAT
    model_name: str
    version: str
    created: datetime
    parent: str | None  # version that training carried on from
    outcome: Outcome  # what the gate made of it; an interrupted training is never judged
    reasons: tuple[str, ...]  # why
    seed: int
    data: DataRecord
    code_version: str
    dependencies: dict[str, str]
    files: dict[Annotated[str, AfterValidator(_plain)], FileRecord]

    def to_json(self) -> bytes:
        return self.model_dump_json(indent=2).encode()

    def check_names(self, present: Iterable[str]) -> None:
        """Refuse a version with files missing or files that nobody listed."""
        listed = {*self.files, MANIFEST}
        missing, extra = sorted(listed - set(present)), sorted(set(present) - listed)
        if missing or extra:
            raise ArtifactError(
                f"{self.model_name}/{self.version} is not as published: missing {missing}, "
                f"not listed {extra}; publish it again or fetch an intact copy"
            )

    def check_file(self, name: str, data: bytes) -> None:
        """Refuse a file that is not byte for byte the one that was published."""
        found, listed = FileRecord.of(data), self.files[name]
        if found != listed:
            raise ArtifactError(
                f"{self.model_name}/{self.version}/{name} was altered: {found.size} bytes with "
                f"sha256 {found.sha256}, the manifest says {listed.size} bytes with "
                f"{listed.sha256}; fetch an intact copy"
            )


def read_manifest(data: bytes, where: str) -> Manifest:
    """Parse manifest.json.

    Raises:
        ArtifactError: not a manifest, or of a format that this version does not know.
    """
    try:
        return Manifest.model_validate_json(data)
    except ValidationError as exc:
        problems = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'file'}: {item['msg']}"
            for item in exc.errors(include_url=False)
        )
        raise ArtifactError(
            f"{where}/{MANIFEST} cannot be read ({problems}); expected format {FORMAT}, written by "
            "this program: use the program version that published it, or publish again"
        ) from exc


def list_files(files: Mapping[str, bytes]) -> dict[str, FileRecord]:
    return {name: FileRecord.of(files[name]) for name in sorted(files)}


def make_version(created: datetime, content: Mapping[str, bytes]) -> str:
    """`<UTC yyyymmddThhmmssZ>-<8 hex>`: when, and what; sorts by time as text."""
    digest = hashlib.sha256()
    for name in sorted(content):
        digest.update(hashlib.sha256(content[name]).digest())
    return f"{created.astimezone(UTC):%Y%m%dT%H%M%SZ}-{digest.hexdigest()[:8]}"


def dependency_versions() -> dict[str, str]:
    versions = {name: installed_version(name) for name in _DEPENDENCIES}
    return {"python": platform.python_version(), **versions}
