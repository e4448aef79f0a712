"""Settings as a form: what a page that fills in a pydantic model shows of its limits."""

from typing import Any

from pydantic import ConfigDict

_LIMITS = {
    "minimum": "{} or more",
    "exclusiveMinimum": "more than {}",
    "maximum": "{} or less",
    "exclusiveMaximum": "less than {}",
}


def say_limits(schema: dict[str, Any]) -> None:
    """Append each field's limits to its description: forms enforce them, but show no number."""
    for field in schema.get("properties", {}).values():
        limits = [text.format(_short(field[key])) for key, text in _LIMITS.items() if key in field]
        if limits:
            field["description"] += f" {', '.join(limits).capitalize()}."


def _short(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:g}"


FORM = ConfigDict(frozen=True, extra="forbid", json_schema_extra=say_limits)
