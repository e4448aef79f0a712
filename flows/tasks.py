"""The tasks of the training flow. Each does one thing with the package and returns a reference.

What needs torch is imported inside the task that needs it: a run that finds everything `Cached`
never imports it, and a first run has imported it while Prefect's local server was starting.
"""

import logging
from typing import TYPE_CHECKING

from flows.caching import (
    EVALUATION,
    FEATURES,
    FETCHING,
    GRAPH,
    PUBLISHING,
    TRAINING,
    cache_key,
    cached_task,
    code_version,
)
from flows.progress import training_artifact
from flows.references import Features, Graph, Model, Published, Relations, Report, Rows, stored_rows
from flows.run import Run
from gnn_trainer.collecting import collect_books, collect_funding, collect_klines
from gnn_trainer.features import build as features_room
from gnn_trainer.features.frame import FeatureFrame
from gnn_trainer.graph import assemble as graph_room
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.assembly import load_frame, require_enough
from gnn_trainer.market.fingerprint import frame_fingerprint
from gnn_trainer.market.frame import MarketFrame
from gnn_trainer.market.report import DataReport
from gnn_trainer.market.splits import Split, chronological_split

if TYPE_CHECKING:
    from gnn_trainer.artifact.bundle import Bundle
    from gnn_trainer.training.fit import FitPlan

logger = logging.getLogger("gnn_trainer.tasks")


@cached_task(
    "fetch {run.plan.interval} bars of {run.plan.num_symbols} symbols",
    rooms=FETCHING,
    by=lambda run: run.plan.bars,
    retried=True,
)
def fetch_klines(run: Run) -> Rows:
    """Bring the market history up to the plan; only what it lacks is asked for."""
    plan = run.plan
    span = (plan.symbols, plan.start_ms, plan.end_ms)
    dropped = collect_klines(
        run.history, run.adapters.source, plan.interval, *span, run.on_progress
    )
    return stored_rows(run, "klines", dropped)


@cached_task(
    "snapshot {run.plan.num_symbols} order books",
    rooms=FETCHING,
    by=lambda run: (run.plan.bars, run.plan.closed_ms),
    retried=True,
)
def fetch_order_book(run: Run) -> Rows:
    """Record one snapshot per symbol and bar; the exchange keeps no history to ask for later."""
    bar = (run.plan.closed_ms, run.plan.closed_ms + run.plan.step_ms)
    dropped = collect_books(
        run.history, run.adapters.source, run.plan.symbols, bar, run.on_progress
    )
    return stored_rows(run, "books", dropped)


@cached_task(
    "fetch funding of {run.plan.num_symbols} symbols",
    rooms=FETCHING,
    by=lambda run: run.plan.bars,
    retried=True,
)
def fetch_funding(run: Run) -> Rows:
    """The settled funding rates of the span; a spot market has none."""
    span = (run.plan.symbols, run.plan.start_ms, run.plan.end_ms)
    dropped = collect_funding(run.history, run.adapters.source, *span, run.on_progress)
    return stored_rows(run, "funding", dropped)


@cached_task("load relations", rooms=FETCHING, by=lambda run: None)
def load_relations(run: Run) -> Relations:
    """Relations between symbols prepared elsewhere; none is configured, so there are none."""
    logger.info("no relations: edges come from the market alone")
    return Relations(source=None, edges=0)


@cached_task(
    "build features of {run.plan.num_symbols} symbols",
    rooms=FEATURES,
    by=lambda run, candles, books, funding: (
        run.plan.bars,
        run.plan.listings,
        candles.fingerprint,
        books.fingerprint,
        funding.fingerprint,
        run.config.features,
        run.config.split.min_bars,
    ),
)
def build_features(run: Run, candles: Rows, books: Rows, funding: Rows) -> Features:
    """Align the market on one grid, mask what is wrong with it, and compute the features."""
    plan = run.plan
    frame, data_report = load_frame(
        run.history,
        plan.source,
        plan.interval,
        plan.symbols,
        plan.start_ms,
        plan.end_ms,
        plan.listings,
    )
    log_defects(data_report)
    require_enough(frame, run.config.split.min_bars)
    features = features_room.build_features(frame, run.config.features)
    return Features(
        frame=run.datasets.put(frame, rows=frame.num_bars),
        features=run.datasets.put(features, rows=frame.num_bars),
        data_report=run.datasets.put(data_report, rows=len(data_report.symbols)),
        data_fingerprint=frame_fingerprint(frame),
    )


def log_defects(report: DataReport) -> None:
    """One line on the data as a whole; the report has the figures by symbol."""
    logger.info(
        "%d bars of %d symbols: %d missing, %d dropped as impossible or misaligned, %d masked; "
        "%d holes in the whole market; symbols without a usable bar: %s",
        report.num_bars,
        len(report.symbols),
        sum(entry.missing_bars for entry in report.symbols),
        sum(entry.impossible + entry.misaligned + entry.duplicates for entry in report.symbols),
        sum(entry.outside_listing + entry.frozen for entry in report.symbols),
        len(report.market_holes),
        ", ".join(report.short_symbols(1)) or "none",
    )


@cached_task(
    "assemble graph",
    rooms=GRAPH,
    by=lambda run, features, relations: (
        features.frame.fingerprint,
        features.features.fingerprint,
        relations,
        run.config.graph,
        run.config.labels,
    ),
)
def assemble_graph(run: Run, features: Features, relations: Relations) -> Graph:
    """Join features, labels and a dynamic graph."""
    graph = graph_room.assemble_graph(
        run.datasets.get(features.frame, MarketFrame),
        run.datasets.get(features.features, FeatureFrame),
        run.config.graph,
        run.config.labels,
    )
    return Graph(graph=run.datasets.put(graph, rows=graph.num_bars))


@cached_task(
    "train {run.config.model_name}, seed {run.config.seed}",
    rooms=TRAINING,
    by=lambda run, graph: (graph, run.training_terms),
)
def train_model(run: Run, graph: Graph) -> Model:
    """Fit the network, going on from the checkpoint of a run that was cut short."""
    from gnn_trainer.artifact.bundle import Bundle
    from gnn_trainer.training.fit import fit

    sequence = run.datasets.get(graph.graph, GraphSequence)
    identity = cache_key("train_model", TRAINING, (graph, run.training_terms))
    checkpoint = run.settings.workspace / "checkpoints" / f"{identity}.safetensors"
    with training_artifact("training-progress", also=run.on_progress) as on_progress:
        model = fit(
            sequence,
            split_of(run, sequence),
            fit_plan(run),
            on_progress=on_progress,
            checkpoint=checkpoint,
            identity=identity,
        )
    config = run.config
    bundle = Bundle(model, config.features, config.graph, config.interval, sequence.symbols)
    files = {name: run.datasets.put_bytes(name, data) for name, data in bundle.to_files().items()}
    checkpoint.unlink(missing_ok=True)
    return Model(files=files)


@cached_task(
    "evaluate {run.config.model_name}",
    rooms=EVALUATION,
    by=lambda run, graph, model: (graph, model, run.training_terms, run.plan.source),
)
def evaluate_model(run: Run, graph: Graph, model: Model) -> Report:
    """Judge the model and its baselines on the test span, which nothing was fitted on."""
    from gnn_trainer.evaluation.evaluate import evaluate

    sequence = run.datasets.get(graph.graph, GraphSequence)
    report = evaluate(
        bundle_of(run, model).model,
        sequence,
        split_of(run, sequence),
        fit_plan(run),
        on_progress=run.on_progress,
        oracle_TN=run.adapters.oracle_scores(sequence),
    )
    return Report(report=run.datasets.put(report, rows=report.test.samples))


@cached_task(
    "publish {run.config.model_name}",
    rooms=PUBLISHING,
    by=lambda run, features, model, report: (
        run.adapters.models.location,
        run.config.model_name,
        features.data_fingerprint,
        model,
        report,
    ),
    retried=True,
)
def upload_model(run: Run, features: Features, model: Model, report: Report) -> Published:
    """Publish a version: its files, the manifest, then the pointers. Doing it again is harmless."""
    from gnn_trainer.artifact.manifest import DataRecord
    from gnn_trainer.artifact.publish import Provenance, publish
    from gnn_trainer.evaluation.report import EvaluationReport

    frame = run.datasets.get(features.frame, MarketFrame)
    data = DataRecord(
        source=run.plan.source,
        fingerprint=features.data_fingerprint,
        interval=run.plan.interval,
        symbols=frame.symbols,
        start_ms=int(frame.open_time_T[0]),
        end_ms=int(frame.close_time_T[-1]) + 1,
    )
    published = publish(
        run.adapters.models,
        bundle_of(run, model),
        run.datasets.get(report.report, EvaluationReport),
        model_name=run.config.model_name,
        provenance=Provenance(run.began, data, code_version(PUBLISHING)),
    )
    return Published(
        uri=published.uri,
        version=published.version,
        manifest_sha256=published.manifest_sha256,
        promoted=published.promoted,
    )


def bundle_of(run: Run, model: Model) -> "Bundle":
    """The trained model behind a reference."""
    from gnn_trainer.artifact.bundle import Bundle

    return Bundle.from_files(
        {name: run.datasets.get_bytes(ref) for name, ref in model.files.items()}
    )


def split_of(run: Run, graph: GraphSequence) -> Split:
    return chronological_split(graph.open_time_T, graph.end_time_T, run.config.split)


def fit_plan(run: Run) -> "FitPlan":
    from gnn_trainer.training.fit import FitPlan

    config = run.config
    return FitPlan(
        model=config.model,
        fit=config.fit,
        labels=config.labels,
        epochs=config.epochs,
        learning_rate=config.learning_rate,
        seed=config.seed,
    )
