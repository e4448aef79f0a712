"""Walk-forward end to end: every runner, what is published, and a stop that reaches every fold."""

import contextlib
import importlib.util
import io
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from flows.walk_forward import walk
from flows.walking import Walk
from gnn_trainer.artifact.manifest import WALK_INDEX, FileRecord
from gnn_trainer.artifact.walk import WalkIndex
from gnn_trainer.config import TrainConfig
from gnn_trainer.errors import ConfigError, LeakFound
from gnn_trainer.exchange.process import RunningExchange
from gnn_trainer.market.intervals import INTERVAL_MS
from gnn_trainer.market.splits import Split, walk_forward
from tests.flows.laboratory import SMALL, Laboratory
from tests.flows.service import ENDLESS, Service, small_flags
from tests.flows.subprocesses import ROOT
from tests.flows.test_wire import assert_well_told

WALK = str(ROOT / "flows" / "walk_forward.py")
SPLIT = {"embargo_bars": 2, "folds": 2, "min_bars": 20}
CHEAP = SMALL | {"epochs": 1, "split": SPLIT}
QUICK = ("--epochs", "1", "--fit.members", "1")
TWO_SEEDS = {"evaluation": {"placebos": "", "seeds": 2}}
FLAGS = ("--split.folds", "2", "--split.min-bars", "20", "--evaluation.placebos", "")


@dataclass(frozen=True)
class Walked:
    """A walk and its files."""

    walk: Walk
    summary: str

    @property
    def tables_hash(self) -> str:
        """Of every prediction: the second half of the name."""
        return self.walk.name.partition("-")[2]

    def read(self, name: str) -> bytes:
        return (Path(self.walk.uri) / name).read_bytes()

    def json(self, name: str) -> Any:
        return json.loads(self.read(name))

    def table(self, name: str) -> pl.DataFrame:
        return pl.read_parquet(io.BytesIO(self.read(name)))


def walk_in(laboratory: Laboratory, runner: str, **changes: Any) -> Walked:
    """The flow in this process; its folds where `runner` has them."""
    config = TrainConfig.model_validate(CHEAP | changes)
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(io.StringIO()) as printed,
    ):
        for name, value in laboratory.variables.items():
            patch.setenv(name, value)
        patch.setenv("WALK_FORWARD_RUNNER", runner)
        patch.setenv("WALK_FORWARD_WORKERS", "1")
        walked = walk(config)
        assert isinstance(walked, Walk)
    return Walked(walked, printed.getvalue())


@pytest.fixture(scope="session")
def place(
    api_url: str, exchange: RunningExchange, tmp_path_factory: pytest.TempPathFactory
) -> Laboratory:
    """A workspace for walks alone."""
    return Laboratory(exchange, tmp_path_factory.mktemp("walks") / "workspace")


@pytest.fixture(scope="session")
def by_threads(place: Laboratory) -> Walked:
    return walk_in(place, "threads", **TWO_SEEDS)


def test_a_walk_publishes_one_report_of_all_folds_and_seeds(by_threads: Walked) -> None:
    index = WalkIndex.model_validate_json(by_threads.read(WALK_INDEX))

    assert (index.folds, index.seeds) == (2, (0, 1))
    assert index.config["split"]["folds"] == 2
    assert {"metrics.json", "report.html", "predictions.parquet", "bars.parquet"} <= set(
        index.files
    )
    for name, record in index.files.items():
        assert FileRecord.of(by_threads.read(name)) == record
    assert by_threads.walk.uri in by_threads.summary.replace("\n", "")
    assert "fold by fold" in by_threads.summary


def test_no_label_of_a_fold_reaches_its_test_span_and_no_test_span_another(
    by_threads: Walked,
) -> None:
    metrics, embargo_ms = by_threads.json("metrics.json"), 2 * INTERVAL_MS["1h"]
    spans = {fold["test"]["first_ms"]: fold for fold in metrics["folds"]}

    assert len(metrics["folds"]) == 4
    for fold in spans.values():
        assert fold["train"]["last_ms"] + embargo_ms < fold["validation"]["first_ms"]
        assert fold["validation"]["last_ms"] + embargo_ms < fold["test"]["first_ms"]
    earlier, later = (spans[first]["test"] for first in sorted(spans))
    assert earlier["last_ms"] < later["first_ms"]


def test_pooled_figures_follow_from_the_published_tables(by_threads: Walked) -> None:
    metrics, bars = by_threads.json("metrics.json")["metrics"], by_threads.table("bars.parquet")

    assert bars["fold"].n_unique() == 4
    for name in ("gnn", "no graph", "ridge"):
        by_bar = bars.group_by("open_time").agg(pl.col(name).mean())[name].to_numpy()
        assert np.isclose(metrics[name]["rank_ic"]["mean"], by_bar.mean())


def test_a_second_walk_does_nothing(place: Laboratory, by_threads: Walked) -> None:
    again = walk_in(place, "threads", **TWO_SEEDS)

    assert again.walk == by_threads.walk
    assert "Completed" not in again.summary


def test_processes_find_what_threads_found(place: Laboratory, by_threads: Walked) -> None:
    for name in ("walk_folds", "judge_fold"):
        for path in (place.workspace / "results").glob(f"{name}-*"):
            path.unlink()

    again = walk_in(place, "processes", **TWO_SEEDS)

    assert again.tables_hash == by_threads.tables_hash


def test_a_fold_whose_answer_is_gone_is_done_again(place: Laboratory, by_threads: Walked) -> None:
    for path in (place.workspace / "cache" / "Fold").iterdir():
        path.write_bytes(b"altered")

    again = walk_in(place, "threads", **TWO_SEEDS)

    assert again.tables_hash == by_threads.tables_hash


def test_a_walk_promotes_nothing_and_leaves_nothing_else(
    place: Laboratory, by_threads: Walked
) -> None:
    models = place.workspace / "models" / "small"

    assert {path.name for path in models.glob("[!.]*")} == {"walk-forward", "trials.json"}
    assert by_threads.walk.name in {path.name for path in models.glob("walk-forward/*")}
    assert list(models.glob("walk-forward/parts/*/[!.]*")) == []


def test_a_leak_in_an_earlier_fold_ends_the_walk(place: Laboratory) -> None:
    def greedy(*args: Any) -> tuple[Split, ...]:
        first, *later = walk_forward(*args)
        both_T = first.train_T | first.validation_T
        return replace(first, train_T=both_T), *later

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flows.folds.walk_forward", greedy)
        with pytest.raises(LeakFound, match=r"fold 1, seed 11: .*not that of the training span"):
            walk_in(place, "threads", model_name="greedy", seed=11)

    assert list((place.workspace / "models" / "greedy").rglob("*.json")) == []


@pytest.mark.parametrize("runner", ["threads", "processes"])
def test_a_stop_reaches_every_fold(service: Service, runner: str) -> None:
    flags = (*small_flags(), *ENDLESS, *FLAGS)
    with (
        service.listening() as stream,
        service.process(WALK, *flags, WALK_FORWARD_RUNNER=runner) as run,
    ):
        run.wait_for_line("fold 1, seed 0: training")
        service.command()
        events = stream.until_end()
        assert run.wait() == 0

    assert_well_told(events, "interrupted")
    assert service.flow_run().state_name == "Cancelled"
    assert "is judged" not in run.text


def test_folds_as_flow_runs_of_a_deployment(service: Service) -> None:
    serving = "from flows.fold import fold; fold.serve('fold')"
    variables = {"WALK_FORWARD_RUNNER": "deployments", "KAFKA_BOOTSTRAP_SERVERS": ""}
    with (
        service.process("-c", serving, PREFECT_RUNNER_POLL_FREQUENCY="1") as server,
    ):
        server.wait_for_line("is being served")
        with service.process(WALK, *small_flags(), *QUICK, *FLAGS, **variables) as run:
            assert run.wait() == 0

    (found,) = (service.models / "walk-forward").glob("2*")
    assert WalkIndex.model_validate_json((found / WALK_INDEX).read_bytes()).folds == 2
    assert list((service.models / "walk-forward" / "parts").glob("*/[!.]*")) == []


@pytest.mark.parametrize("runner", ["dask", "ray"])
def test_a_cluster_that_is_not_installed_is_said_so(place: Laboratory, runner: str) -> None:
    if importlib.util.find_spec(f"prefect_{runner}"):
        pytest.skip(f"prefect_{runner} is installed")
    with pytest.raises(ConfigError, match=f"install gnn-trainer\\[{runner}\\]"):
        walk_in(place, runner, seed=7)
