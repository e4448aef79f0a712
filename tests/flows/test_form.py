"""The form that Prefect's UI makes of the flow's parameter."""

from collections.abc import Iterator
from typing import Any

import pytest
from prefect.utilities.callables import parameter_schema

from flows.train import train
from gnn_trainer.config import TrainConfig
from gnn_trainer.environment import dotted_fields

SCHEMA = parameter_schema(train).model_dump()


def fields() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every input of the form, by the name of its part and its own."""
    for part, definition in SCHEMA["definitions"].items():
        for name, field in definition["properties"].items():
            if "$ref" not in field:
                yield f"{part}.{name}", field


FIELDS = dict(fields())


def test_the_form_has_every_setting() -> None:
    assert len(FIELDS) == len(dotted_fields(TrainConfig))


def test_every_part_is_explained() -> None:
    assert all(definition["description"] for definition in SCHEMA["definitions"].values())


@pytest.mark.parametrize("name", FIELDS)
def test_every_input_has_a_description_and_a_default(name: str) -> None:
    assert FIELDS[name]["description"].strip()
    assert "default" in FIELDS[name]


@pytest.mark.parametrize(
    "name", [name for name in FIELDS if FIELDS[name]["type"] in ("integer", "number")]
)
def test_every_number_has_limits_and_says_them(name: str) -> None:
    field = FIELDS[name]
    lowest = field.get("minimum", field.get("exclusiveMinimum"))
    highest = field.get("maximum", field.get("exclusiveMaximum"))

    assert lowest is not None
    assert highest is not None
    digits = field["description"].replace(",", "")
    assert f"{lowest:g} or more" in digits or f"ore than {lowest:g}" in digits
    assert f"{highest:.15g} or less" in digits or f"less than {highest:.15g}" in digits


def test_the_interval_is_chosen_from_a_list() -> None:
    assert "1h" in FIELDS["TrainConfig.interval"]["enum"]
