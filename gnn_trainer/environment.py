"""From a mapping of variables to the fields of a pydantic model, and every problem on the way.

A field says which variables feed it with an `Env` note in its annotation. Nothing here touches
the process environment: the mapping is an argument, so tests and tools pass their own.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from gnn_trainer.errors import ConfigError

HIDDEN = "********"
_LIKENESS = 0.85  # difflib ratio above which two names are one name and a slip of the finger
_SPARE_LETTERS = 2  # a misspelling is about as long as the name it stands for


@dataclass(frozen=True)
class Env:
    """The variable that feeds a field; `aliases` are other names that mean the same."""

    name: str
    aliases: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, *self.aliases)


@dataclass(frozen=True)
class Problem:
    """One thing wrong with the configuration. `expected` also says what to do about it."""

    name: str
    value: str
    expected: str

    def __str__(self) -> str:
        given = f"={self.value!r}" if self.value else ""
        return f"{self.name}{given}: {self.expected}"


class ConfigProblems(ConfigError):
    """A ConfigError that keeps its problems in columns, for the table."""

    def __init__(self, rows: Iterable[Problem]) -> None:
        self.rows = tuple(rows)
        super().__init__([str(row) for row in self.rows])


@dataclass(frozen=True)
class Found:
    """A variable that is set: the name it came under, and its text."""

    name: str
    value: str


def env_fields(model: type[BaseModel]) -> dict[str, Env]:
    """Field name -> its variables, for the fields that have any."""
    return {
        field: note
        for field, info in model.model_fields.items()
        for note in info.metadata
        if isinstance(note, Env)
    }


def is_secret(info: FieldInfo) -> bool:
    return info.annotation is SecretStr or SecretStr in get_args(info.annotation)


def collect(
    model: type[BaseModel], environ: Mapping[str, str]
) -> tuple[dict[str, Found], list[Problem]]:
    """The variables that are set, by field, and the contradictions among their aliases.

    A blank value counts as not set: manifests often pass an empty string for "nothing".
    """
    found: dict[str, Found] = {}
    problems: list[Problem] = []
    for field, env in env_fields(model).items():
        given = [
            Found(name, environ[name].strip())
            for name in env.names
            if environ.get(name, "").strip()
        ]
        if given:
            found[field] = given[0]
        if len({item.value for item in given}) > 1:
            problems.append(
                Problem(
                    " and ".join(item.name for item in given),
                    " and ".join(
                        HIDDEN if is_secret(model.model_fields[field]) else printable(item.value)
                        for item in given
                    ),
                    f"these names mean the same thing and differ; keep only {env.name}",
                )
            )
    return found, problems


def misspelt(environ: Mapping[str, str], known: Iterable[str]) -> list[Problem]:
    """Variables that are no name of ours but all but one: `EPOCH`, `MINIO_ENDPONT`."""
    names = sorted(set(known))
    return [
        Problem(name, "", f"not a variable of this program; did you mean {meant}? Rename or unset")
        for name in sorted(set(environ) - set(names))
        if environ[name].strip() and (meant := _meant_by(name, names)) is not None
    ]


def _meant_by(name: str, known: list[str]) -> str | None:
    alike = [
        other
        for other in known
        if other[:2] == name[:2] and abs(len(other) - len(name)) <= _SPARE_LETTERS
    ]
    matches = difflib.get_close_matches(name, alike, n=1, cutoff=_LIKENESS)
    return matches[0] if matches else None


def describe_errors(
    error: ValidationError, model: type[BaseModel], shown: Mapping[str, str]
) -> list[Problem]:
    """Pydantic's complaints as problems; `shown` maps a dotted field to the name the user knows."""
    return [_problem(dict(item), model, shown) for item in error.errors(include_url=False)]


def _problem(item: dict[str, Any], model: type[BaseModel], shown: Mapping[str, str]) -> Problem:
    dotted = ".".join(str(part) for part in item["loc"])
    field = model.model_fields.get(str(item["loc"][0])) if item["loc"] else None
    if item["type"] == "extra_forbidden":
        return Problem(shown.get(dotted, dotted), "", f"no such setting{_nearest(dotted, model)}")
    name = shown.get(dotted, dotted) or model.__name__.removesuffix("Settings")
    if item["type"] == "missing":
        return Problem(name, "", _expected(item))
    secret = field is not None and is_secret(field)
    return Problem(name, HIDDEN if secret else printable(item["input"]), _expected(item))


def printable(value: object) -> str:
    """Text of a plain value, without user and password if it is an address."""
    if isinstance(value, Mapping | BaseModel):
        return ""
    return re.sub(r"[^/\s,]*@", f"{HIDDEN}@", str(value))


def _expected(item: dict[str, Any]) -> str:
    context = item.get("ctx", {})
    match item["type"]:
        case "value_error":
            return str(context["error"])
        case "missing":
            return "missing, though other variables of its service are set; set it or unset those"
        case "path_not_file":
            return "there is no such file"
        case "literal_error":
            return f"expected one of {context['expected']}"
        case "int_parsing" | "int_type" | "int_from_float":
            return "expected a whole number"
        case "float_parsing" | "float_type" | "finite_number":
            return "expected a number"
        case "bool_parsing" | "bool_type":
            return "expected true or false"
        case "greater_than_equal":
            return f"expected {context['ge']} or more"
        case "greater_than":
            return f"expected more than {context['gt']}"
        case "less_than_equal":
            return f"expected {context['le']} or less"
        case "less_than":
            return f"expected less than {context['lt']}"
        case kind if kind.startswith("datetime"):
            return "expected an ISO time, e.g. 2024-05-01T12:00"
        case _:
            return str(item["msg"])


def _nearest(dotted: str, model: type[BaseModel]) -> str:
    close = difflib.get_close_matches(dotted, list(dotted_fields(model)), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def dotted_fields(model: type[BaseModel], prefix: str = "") -> dict[str, FieldInfo]:
    """Every leaf of a model of models, as `graph.neighbours` -> its field."""
    leaves: dict[str, FieldInfo] = {}
    for name, info in model.model_fields.items():
        inner = info.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            leaves |= dotted_fields(inner, f"{prefix}{name}.")
        else:
            leaves[prefix + name] = info
    return leaves
