"""TrainConfig: what to train. Composed of the rooms' own small configs."""

import argparse
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, Field, ValidationError, field_validator
from pydantic.fields import FieldInfo

from gnn_trainer.environment import (
    Env,
    Problem,
    collect,
    describe_errors,
    dotted_fields,
)
from gnn_trainer.errors import ConfigError
from gnn_trainer.evaluation.config import EvaluationConfig
from gnn_trainer.features.config import FeatureConfig
from gnn_trainer.form import FORM
from gnn_trainer.graph.config import GraphConfig
from gnn_trainer.market.intervals import DAY_MS, INTERVAL_MS, interval_ms
from gnn_trainer.market.labels import DirectionConfig, LabelConfig
from gnn_trainer.market.splits import SplitConfig, last_step_ms
from gnn_trainer.model.config import ModelConfig
from gnn_trainer.training.config import FitConfig

_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
_DATES = re.compile(r"(\d{4}-\d{2}-\d{2}):(\d{4}-\d{2}-\d{2})", re.ASCII)
_DAYS = re.compile(r"(\d{1,5})d", re.ASCII)
_TIME_RANGE_FORM = "expected YYYY-MM-DD:YYYY-MM-DD (both days included) or a length such as 90d"


class TrainConfig(BaseModel):
    """What to train. The first eight fields have a variable of their own for their default."""

    model_config = FORM

    symbols: Annotated[str, Env("SYMBOLS")] = Field(
        "top:20",
        description="BTCUSDT,ETHUSDT,... or top:N, the N largest by quote volume.",
    )
    interval: Annotated[str, Env("INTERVAL")] = Field(
        "1h", description="Length of a bar.", json_schema_extra={"enum": list(INTERVAL_MS)}
    )
    time_range: Annotated[str, Env("TIME_RANGE")] = Field(
        "180d", description="YYYY-MM-DD:YYYY-MM-DD (both days included), or the last days: 90d."
    )
    horizon: Annotated[int, Env("HORIZON")] = Field(
        1, ge=1, le=10_000, description="Bars ahead to predict."
    )
    epochs: Annotated[int, Env("EPOCHS")] = Field(
        100, ge=1, le=100_000, description="Most epochs; training stops early when it stalls."
    )
    learning_rate: Annotated[float, Env("LEARNING_RATE")] = Field(
        0.001, gt=0.0, le=1.0, allow_inf_nan=False, description="Peak learning rate of AdamW."
    )
    seed: Annotated[int, Env("SEED")] = Field(
        0, ge=0, lt=2**31, description="Seed of everything random in training."
    )
    model_name: Annotated[str, Env("MODEL_NAME", ("MODEL_OUTPUT",))] = Field(
        "market_gnn_v1",
        description="Name under which versions are published: letters, digits, . _ -",
    )
    features: FeatureConfig = FeatureConfig()
    direction: DirectionConfig = DirectionConfig()
    split: SplitConfig = SplitConfig()
    graph: GraphConfig = GraphConfig()
    model: ModelConfig = ModelConfig()
    fit: FitConfig = FitConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    @property
    def labels(self) -> LabelConfig:
        """The direction rule at this horizon."""
        return LabelConfig.for_horizon(self.horizon, self.direction)

    @field_validator("symbols")
    @classmethod
    def _check_symbols(cls, value: str) -> str:
        # Imported here because `--help` must not wait for polars.
        from gnn_trainer.market.universe import parse_symbols

        return _checked(parse_symbols, value)

    @field_validator("interval")
    @classmethod
    def _check_interval(cls, value: str) -> str:
        return _checked(interval_ms, value)

    @field_validator("time_range")
    @classmethod
    def _check_time_range(cls, value: str) -> str:
        return _checked(_parse_time_range, value)

    @field_validator("model_name")
    @classmethod
    def _check_model_name(cls, value: str) -> str:
        if not _MODEL_NAME.fullmatch(value):
            raise ValueError(
                "expected letters, digits, '.', '_', '-', starting with one of the "
                "first two, 100 at most: it names a folder"
            )
        return value


def _checked(parse: Any, value: str) -> str:
    """The value itself if `parse` takes it; its ConfigError as the ValueError pydantic wants."""
    try:
        parse(value)
    except ConfigError as exc:
        raise ValueError(str(exc)) from exc
    return value


def resolve_span(
    time_range: str, now_ms: int, interval: str, step_days: int = 0
) -> tuple[int, int]:
    """Bars to use, start_ms <= open time < end_ms, all closed at `now_ms`. Unix ms, UTC.

    A length such as 90d is counted back from the last step of `SplitConfig.step_days`, and has the
    bars since then besides.

    Raises:
        ConfigError: malformed, ends before it starts, or has no closed bar yet.
    """
    step = interval_ms(interval)
    closed_before = now_ms // step * step
    parsed = _parse_time_range(time_range)
    if isinstance(parsed, timedelta):
        laid_out = last_step_ms(closed_before - step, step_days) or closed_before
        start = laid_out - parsed // timedelta(milliseconds=1)
        end = closed_before
    else:
        start, end = (_midnight_ms(day) for day in parsed)
        end = min(end + DAY_MS, closed_before)
    start = -(-start // step) * step
    if start >= end:
        now = datetime.fromtimestamp(now_ms / 1000, UTC)
        raise ConfigError(
            f"time range {time_range!r} has no closed {interval} bar at {now:%Y-%m-%d %H:%M} UTC, "
            "the exchange's time; choose an earlier or longer one"
        )
    return start, end


def _parse_time_range(text: str) -> timedelta | tuple[date, date]:
    if days := _DAYS.fullmatch(text):
        if int(days[1]) == 0:
            raise ConfigError(f"time range {text!r} is empty; {_TIME_RANGE_FORM}")
        return timedelta(days=int(days[1]))
    dates = _DATES.fullmatch(text)
    if dates is None:
        raise ConfigError(f"time range {text!r} not understood; {_TIME_RANGE_FORM}")
    try:
        start, end = (date.fromisoformat(day) for day in dates.groups())
    except ValueError as exc:
        raise ConfigError(f"time range {text!r}: {exc}; {_TIME_RANGE_FORM}") from exc
    if end < start:
        raise ConfigError(f"time range {text!r} ends before it starts; write {end}:{start}")
    return start, end


def _midnight_ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


def add_flags(parser: argparse.ArgumentParser) -> None:
    """One flag per setting: `--time-range 90d`, `--graph.neighbours 4`. Values stay text."""
    groups = {"": parser.add_argument_group("what to train (flags override the environment)")}
    for dotted, info in dotted_fields(TrainConfig).items():
        room = dotted.rpartition(".")[0]
        if room not in groups:
            groups[room] = parser.add_argument_group(f"settings of {room}")
        groups[room].add_argument(
            _flag(dotted),
            dest=dotted,
            default=argparse.SUPPRESS,
            metavar=_metavar(info),
            help=f"{info.description} [{info.default}]".replace("%", "%%"),
        )


def flags_given(arguments: argparse.Namespace) -> dict[str, str]:
    """The flags of `add_flags` that were on the command line, by dotted field."""
    known = dotted_fields(TrainConfig)
    return {name: value for name, value in vars(arguments).items() if name in known}


def read_config(
    environ: Mapping[str, str], flags: Mapping[str, str]
) -> tuple[TrainConfig | None, list[Problem]]:
    """A config from the environment's defaults and the flags over them, or every problem."""
    found, problems = collect(TrainConfig, environ)
    shown = {field: item.name for field, item in found.items()} | {
        dotted: _flag(dotted) for dotted in flags
    }
    values = _nested({field: item.value for field, item in found.items()} | dict(flags))
    try:
        config = TrainConfig.model_validate(values)
    except ValidationError as exc:
        return None, problems + describe_errors(exc, TrainConfig, shown)
    return config, problems


def _nested(flat: Mapping[str, str]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for dotted, value in flat.items():
        *rooms, leaf = dotted.split(".")
        branch = tree
        for room in rooms:
            branch = branch.setdefault(room, {})
        branch[leaf] = value
    return tree


def _flag(dotted: str) -> str:
    return "--" + dotted.replace("_", "-")


def _metavar(info: FieldInfo) -> str:
    if get_origin(info.annotation) is Literal:
        return "|".join(str(choice) for choice in get_args(info.annotation))
    kinds: dict[object, str] = {int: "INT", float: "NUMBER"}
    return kinds.get(info.annotation, "TEXT")
