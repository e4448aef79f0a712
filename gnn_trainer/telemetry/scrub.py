"""Keep what must not be said out of events, and values out of them that JSON has no word for."""

import math
import re
from collections.abc import Mapping, Sequence
from numbers import Integral, Real

from pydantic import JsonValue

HIDDEN = "***"
_URL = re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>)\],;]+")
_LONGEST_TEXT = 2000
_SURELY_SECRET = 8  # characters; shorter texts are hidden only where they stand alone


def scrub(text: str, private_texts: Sequence[str]) -> str:
    """The text without URLs and without any of `private_texts` (secrets, users, addresses)."""
    text = _URL.sub("<address>", hide(text, private_texts))
    text = text.encode(errors="replace").decode()  # half characters, as in odd file names
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 3] + "..."


def hide(text: str, private_texts: Sequence[str]) -> str:
    """The text without any of `private_texts`."""
    for private in sorted(filter(None, private_texts), key=len, reverse=True):
        pattern = re.escape(private)
        if len(private) < _SURELY_SECRET:
            pattern = rf"(?<![A-Za-z0-9_-]){pattern}(?![A-Za-z0-9_-])"
        text = re.sub(pattern, HIDDEN, text)
    return text


def plain(value: object, private_texts: Sequence[str]) -> JsonValue:
    """The value in JSON's types, its texts scrubbed; NaN and infinities become null."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return scrub(value, private_texts)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): plain(item, private_texts) for name, item in value.items()}
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes):
        return [plain(item, private_texts) for item in value]
    return scrub(str(value), private_texts)
