"""Which keys a ModelStore takes: the same in every store, so that a model can move between them."""

import re

from gnn_trainer.errors import ArtifactError

_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*", re.ASCII)
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]", re.ASCII)


def segments_of(key: str) -> list[str]:
    """The names that a key joins by slashes.

    Raises:
        ArtifactError: a key that is no plain path, or that could lead out of the store.
    """
    segments = key.split("/")
    if not all(map(_SEGMENT.fullmatch, segments)):
        raise ArtifactError(
            f"key {key!r} is not safe; expected names of letters, digits, '.', '_', '-' "
            "joined by '/'"
        )
    return segments


def as_segment(text: str) -> str:
    """A name that a key may have for any text; texts that need no change keep theirs.

    Every other character becomes its code point in hex between underscores, so two texts share
    a name only if one of them was written to look like the other.
    """
    name = _UNSAFE.sub(lambda found: f"_{ord(found[0]):x}_", text)
    return name if _SEGMENT.fullmatch(name) else f"_{name}"
