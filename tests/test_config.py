"""TrainConfig: names, flags over environment, limits, and the span of bars it stands for."""

import argparse
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnn_trainer.config import TrainConfig, add_flags, flags_given, read_config, resolve_span
from gnn_trainer.environment import dotted_fields
from gnn_trainer.errors import ConfigError
from gnn_trainer.market.intervals import DAY_MS, INTERVAL_MS

HOUR_MS = INTERVAL_MS["1h"]


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


NOW_MS = ms("2024-05-01T12:34:56")


def config_of(environ: dict[str, str], flags: dict[str, str] | None = None) -> TrainConfig:
    config, problems = read_config(environ, flags or {})
    assert config is not None, problems
    return config


def only_problem(environ: dict[str, str], flags: dict[str, str] | None = None) -> str:
    _, problems = read_config(environ, flags or {})
    assert len(problems) == 1, problems
    return str(problems[0])


def parsed(*argv: str) -> dict[str, str]:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_flags(parser)
    return flags_given(parser.parse_args(argv))


def test_the_environment_supplies_defaults() -> None:
    environ = {
        "SYMBOLS": "BTCUSDT,ETHUSDT",
        "INTERVAL": "15m",
        "TIME_RANGE": "2024-01-01:2024-03-31",
        "HORIZON": "4",
        "EPOCHS": "7",
        "LEARNING_RATE": "3e-4",
        "SEED": "11",
        "MODEL_NAME": "mine",
    }
    config = config_of(environ)
    assert {name: str(getattr(config, name.lower())) for name in environ} == environ | {
        "LEARNING_RATE": "0.0003"
    }


def test_model_output_is_another_name_of_model_name() -> None:
    assert config_of({"MODEL_OUTPUT": "theirs"}).model_name == "theirs"


def test_flags_override_the_environment() -> None:
    config = config_of({"EPOCHS": "7", "SEED": "1"}, parsed("--epochs", "9"))
    assert (config.epochs, config.seed) == (9, 1)


def test_nested_settings_have_dotted_flags() -> None:
    flags = parsed("--graph.neighbours", "3", "--fit.batch-bars=64", "--split.train", "0.5")
    config = config_of({}, flags)
    assert (config.graph.neighbours, config.fit.batch_bars, config.split.train) == (3, 64, 0.5)


def test_every_setting_has_a_description_and_a_flag() -> None:
    fields = dotted_fields(TrainConfig)
    assert all(info.description for info in fields.values())
    parser = argparse.ArgumentParser()
    add_flags(parser)
    help_text = parser.format_help()
    assert all("--" + name.replace("_", "-") in help_text for name in fields)


def test_the_labels_have_the_horizon_of_the_config() -> None:
    config = config_of({"HORIZON": "4"}, {"direction.threshold": "fixed"})
    assert (config.labels.horizon, config.labels.threshold) == (4, "fixed")


def test_a_config_survives_the_way_through_json() -> None:
    config = config_of({"HORIZON": "4"}, {"graph.neighbours": "3"})
    assert TrainConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"INTERVAL": "7m"}, "'7m' unknown; use one of 1m"),
        ({"INTERVAL": "1M"}, "'1M' unknown"),
        ({"TIME_RANGE": "2024-02-01:2024-01-01"}, "write 2024-01-01:2024-02-01"),
        ({"TIME_RANGE": "0d"}, "empty"),
        ({"TIME_RANGE": "2024-02-30:2024-03-01"}, "2024-02-30"),
        ({"TIME_RANGE": "last week"}, "such as 90d"),
        ({"HORIZON": "0"}, "HORIZON='0': expected 1 or more"),
        ({"EPOCHS": "0"}, "EPOCHS='0': expected 1 or more"),
        ({"EPOCHS": "ten"}, "EPOCHS='ten': expected a whole number"),
        ({"LEARNING_RATE": "-1"}, "expected more than 0"),
        ({"LEARNING_RATE": "nan"}, "LEARNING_RATE='nan'"),
        ({"SEED": "1.5"}, "expected a whole number"),
        ({"SYMBOLS": "top:0"}, "SYMBOLS='top:0'"),
        ({"SYMBOLS": ","}, "not understood"),
        ({"MODEL_NAME": "../etc"}, "it names a folder"),
        ({"MODEL_NAME": ".hidden"}, "it names a folder"),
        ({"MODEL_OUTPUT": "a/b"}, "MODEL_OUTPUT='a/b'"),
    ],
)
def test_a_value_that_cannot_work_says_value_and_remedy(
    environ: dict[str, str],
    message: str,
) -> None:
    assert message in only_problem(environ)


@pytest.mark.parametrize("name", ["m\n", "m/..", "a b", "é", "a" * 101, ""])
def test_a_model_name_is_safe_as_a_folder_wherever_it_comes_from(name: str) -> None:
    with pytest.raises(ValueError, match="it names a folder"):
        TrainConfig(model_name=name)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"epochs": "0"}, "--epochs='0': expected 1 or more"),
        ({"time_range": "x"}, "--time-range='x'"),
        ({"graph.neighbour": "3"}, "did you mean graph.neighbours?"),
        ({"features.short_window": "900"}, "do not ascend"),
    ],
)
def test_a_flag_is_blamed_under_its_own_name(flags: dict[str, str], message: str) -> None:
    assert message in only_problem({"EPOCHS": "5"}, flags)


def test_a_length_ends_at_the_last_closed_bar() -> None:
    assert resolve_span("2d", NOW_MS, "1h") == (ms("2024-04-29T12:00"), ms("2024-05-01T12:00"))


def test_a_length_is_counted_back_from_the_last_step_and_has_what_came_since() -> None:
    thursday = ms("2024-04-25")  # steps of a week begin as 1970 did
    assert resolve_span("2d", NOW_MS, "1h", step_days=7) == (
        thursday - 2 * DAY_MS,
        ms("2024-05-01T12:00"),
    )
    assert resolve_span("2024-01-01:2024-01-31", NOW_MS, "1h", step_days=7) == resolve_span(
        "2024-01-01:2024-01-31", NOW_MS, "1h"
    )


def test_a_bar_that_closes_this_very_moment_is_closed() -> None:
    now = ms("2024-05-01T12:00")
    assert resolve_span("1d", now, "1h")[1] == now
    assert resolve_span("1d", now - 1, "1h")[1] == now - HOUR_MS


def test_both_days_of_a_range_are_included() -> None:
    span = resolve_span("2024-01-01:2024-01-31", NOW_MS, "1h")
    assert span == (ms("2024-01-01"), ms("2024-02-01"))
    assert resolve_span("2024-01-01:2024-01-01", NOW_MS, "1h") == (
        ms("2024-01-01"),
        ms("2024-01-02"),
    )


def test_a_range_that_reaches_into_the_future_ends_now() -> None:
    assert resolve_span("2024-04-01:2024-12-31", NOW_MS, "4h")[1] == ms("2024-05-01T12:00")


@pytest.mark.parametrize("time_range", ["2024-05-02:2024-06-01", "2030-01-01:2030-01-01"])
def test_a_range_in_the_future_has_no_bars(time_range: str) -> None:
    with pytest.raises(ConfigError, match="no closed 1h bar at 2024-05-01 12:34"):
        resolve_span(time_range, NOW_MS, "1h")


@given(
    days=st.integers(1, 5000),
    now_ms=st.integers(ms("2020-01-01"), ms("2035-01-01")),
    interval=st.sampled_from(sorted(INTERVAL_MS)),
)
def test_a_span_is_on_the_grid_closed_and_as_long_as_asked(
    days: int,
    now_ms: int,
    interval: str,
) -> None:
    step = INTERVAL_MS[interval]
    start, end = resolve_span(f"{days}d", now_ms, interval)
    assert start % step == end % step == 0
    assert now_ms - step < end <= now_ms
    assert end - start == days * DAY_MS


@pytest.mark.parametrize("library", ["torch", "prefect", "polars", "binance", "rich"])
def test_reading_flags_and_help_does_not_load_heavy_libraries(library: str) -> None:
    program = (
        "import argparse, sys; from gnn_trainer.config import add_flags;"
        "from gnn_trainer.settings import environment_help; environment_help();"
        "add_flags(argparse.ArgumentParser());"
        f"sys.exit({library!r} in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
