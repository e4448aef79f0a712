"""The tasks of the training flow. Each does one thing with the package and returns a reference.

What needs torch is imported inside the task that needs it: a run that finds everything `Cached`
never imports it, and a first run has imported it while Prefect's local server was starting.
"""

import logging
from dataclasses import asdict
from uuid import uuid4

from prefect.artifacts import create_markdown_artifact

from flows.auditing import audit_terms, kept, passed, require_judged, subject_of
from flows.caching import (
    EVALUATION,
    FEATURES,
    FETCHING,
    GRAPH,
    PUBLISHING,
    RELATIONS,
    TRAINING,
    cached_task,
)
from flows.delivering import publish
from flows.models import (
    bundle_of,
    find_checkpoint,
    fit_plan,
    learned_of,
    make_bundle,
    relations_of,
    rivals_of,
    split_of,
    stored_model,
    stored_rivals,
)
from flows.progress import training_artifact
from flows.references import (
    Audit,
    Baselines,
    Features,
    Graph,
    Model,
    Published,
    Relations,
    Report,
    Rows,
    stored_rows,
)
from flows.reporting import Judged, report_on
from flows.run import Run
from gnn_trainer.adapters.datasets import fingerprint
from gnn_trainer.collecting import (
    Waiting,
    collect_books,
    collect_funding,
    collect_history,
    collect_relations,
)
from gnn_trainer.errors import GnnTrainerError
from gnn_trainer.features import build as features_room
from gnn_trainer.features.frame import FeatureFrame
from gnn_trainer.graph import assemble as graph_room
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.assembly import load_frame, require_enough
from gnn_trainer.market.fingerprint import frame_fingerprint
from gnn_trainer.market.frame import MarketFrame
from gnn_trainer.market.report import DataReport
from gnn_trainer.progress import Progress

logger = logging.getLogger("gnn_trainer.tasks")


@cached_task(
    "fetch {run.plan.interval} bars of {run.plan.num_symbols} symbols",
    rooms=FETCHING,
    by=lambda run: run.plan.bars,
    retried=True,
)
def fetch_klines(run: Run) -> Rows:
    """Bring the market history up to the plan; only what it lacks is asked for.

    What it lacks of funding comes along, for both together take no longer than either.
    """
    plan = run.plan
    span = (plan.symbols, plan.start_ms, plan.end_ms)
    dropped = collect_history(run.history, run.source, plan.interval, *span, run.on_progress)
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
    dropped = collect_books(run.history, run.source, run.plan.symbols, bar, run.on_progress)
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
    dropped = collect_funding(run.history, run.source, *span, run.on_progress)
    return stored_rows(run, "funding", dropped)


@cached_task("load relations", rooms=RELATIONS, by=lambda run: present_relations(run))
def load_relations(run: Run) -> Relations:
    """Relations between symbols prepared elsewhere, waited for if they are not there yet."""
    if run.relations is None:
        logger.info("no relations: edges come from the market alone")
        return Relations(source=None, edges=0, relations=None)
    plan = run.plan
    relations = collect_relations(
        run.relations,
        plan.symbols,
        plan.start_ms,
        plan.end_ms,
        Waiting(run.settings.relations_patience_s, run.should_stop, run.on_progress),
    )
    for line in relations.report.lines():
        logger.info(line)
    create_markdown_artifact(
        "\n".join(f"- {line}" for line in relations.report.lines()), key="relations-report"
    )
    return Relations(
        source=relations.report.source,
        edges=relations.count,
        relations=run.datasets.put(relations, rows=relations.count),
    )


def present_relations(run: Run) -> object:
    """What the relations depend on; like nothing before if they are not there yet."""
    if run.relations is None:
        return None
    try:
        extent = run.relations.extent()
    except GnnTrainerError:  # the task itself will meet the same error, and say it
        return uuid4()
    if extent.documents == 0:
        return uuid4()
    plan = run.plan
    return run.relations.name, asdict(extent), plan.symbols, plan.start_ms, plan.end_ms


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
    features = features_room.build_features(
        frame, run.config.features, run.settings.workspace, run.should_stop
    )
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
        run.config.split,
    ),
)
def assemble_graph(run: Run, features: Features, relations: Relations) -> Graph:
    """Join features, labels and a dynamic graph."""
    graph = graph_room.assemble_graph(
        run.datasets.get(features.frame, MarketFrame),
        run.datasets.get(features.features, FeatureFrame),
        run.config.graph,
        run.config.labels,
        relations_of(run.datasets, relations.relations),
        run.should_stop,
    )
    return Graph(
        graph=run.datasets.put(graph, rows=graph.num_bars),
        learned=fingerprint(graph.first(split_of(run, graph).num_learned)),
        relations=relations.relations,
    )


@cached_task(
    "train {run.config.model_name}, seed {run.config.seed}",
    rooms=TRAINING,
    by=lambda run, graph: (graph.learned, graph.relations, run.training_terms),
)
def train_model(run: Run, graph: Graph) -> Model:
    """Fit the network, going on from the checkpoint of a run that was cut short.

    It is handed no bar after the validation span; a run that adds only such bars fits nothing.
    """
    from gnn_trainer.training.fit import fit

    sequence, split = learned_of(run, graph)
    saved = find_checkpoint(run, graph)
    with training_artifact("training-progress", also=run.on_progress) as tell:

        def on_epoch(progress: Progress, /) -> None:
            if run.mirror is not None:
                run.mirror.put(saved.path)
            tell(progress)

        model = fit(
            sequence,
            split,
            fit_plan(run.config),
            on_progress=on_epoch,
            checkpoint=saved.path,
            identity=saved.identity,
            should_stop=run.should_stop,
        )
    best = model.history[model.best_epoch - 1]
    logger.info(
        "trained %d of %d epochs; the best is epoch %d, validation RankIC %.4f",
        len(model.history),
        run.config.epochs,
        best.epoch,
        best.val_rank_ic,
    )
    return stored_model(run, make_bundle(run, graph, sequence, split, model))


@cached_task(
    "audit the learning of {run.config.model_name}",
    rooms=EVALUATION,
    by=lambda run, features, graph, model: (
        graph.learned,
        graph.relations,
        model,
        run.training_terms,
    ),
)
def audit_learning(run: Run, features: Features, graph: Graph, model: Model) -> Audit:
    """The half of the audit that is about the model; what it finds is judged with the rest."""
    from gnn_trainer.evaluation import audit as audit_room

    subject = subject_of(run, features, graph, model)
    report = audit_room.audit_learning(
        subject.first(subject.split.num_learned),
        on_progress=run.on_progress,
        should_stop=run.should_stop,
    )
    return kept(run, report)


@cached_task(
    "audit {run.config.model_name}",
    rooms=EVALUATION,
    by=lambda run, features, graph, model, learning: (
        features,
        graph,
        model,
        learning,
        audit_terms(run),
    ),
)
def audit(run: Run, features: Features, graph: Graph, model: Model, learning: Audit) -> Audit:
    """Let the run go on only if nothing in it knew what nobody could know at the time."""
    from gnn_trainer.evaluation import audit as audit_room
    from gnn_trainer.evaluation.audit_report import AuditReport

    report = audit_room.audit_market(
        subject_of(run, features, graph, model),
        on_progress=run.on_progress,
        should_stop=run.should_stop,
    )
    return passed(run, report.joined(run.datasets.get(learning.audit, AuditReport)))


@cached_task(
    "fit baselines of {run.config.model_name}",
    rooms=EVALUATION,
    by=lambda run, graph, model: (
        graph.learned,
        model,
        run.training_terms,
        run.config.evaluation.placebos,
    ),
)
def fit_baselines(run: Run, graph: Graph, model: Model) -> Baselines:
    """Fit everything that the model has to beat, on the bars that it was fitted on."""
    from gnn_trainer.evaluation.rivals import fit_rivals

    sequence, split = learned_of(run, graph)
    bundle = bundle_of(run, model)
    rivals = fit_rivals(
        sequence,
        split,
        fit_plan(run.config),
        run.config.evaluation.placebo_graphs,
        bundle.model.scaler,
        on_progress=run.on_progress,
        should_stop=run.should_stop,
    )
    return stored_rivals(run, bundle, rivals)


@cached_task(
    "evaluate {run.config.model_name}",
    rooms=EVALUATION,
    by=lambda run, features, graph, model, baselines, audit: (
        features.frame.fingerprint,
        graph,
        model,
        baselines,
        run.training_terms,
        run.config.evaluation,
        run.plan.source,
        run.models.location,  # the champion is there, and the count of trials
        run.config.model_name,
    ),
)
def evaluate_model(
    run: Run, features: Features, graph: Graph, model: Model, baselines: Baselines, audit: Audit
) -> Report:
    """Judge the model and its baselines on the test span, which nothing was fitted on."""
    from gnn_trainer.evaluation.backtest import holding_of
    from gnn_trainer.evaluation.evaluate import evaluate

    sequence = run.datasets.get(graph.graph, GraphSequence)
    bundle, split = bundle_of(run, model), split_of(run, sequence)
    fold = evaluate(
        bundle.model,
        rivals_of(run, baselines),
        sequence,
        split,
        holding_of(run.datasets.get(features.frame, MarketFrame)),
        calibration=bundle.calibration,
        truth=run.truth(sequence),
    )
    require_judged(run, graph, [(fold, split_of(run, sequence))])
    return report_on(run, features, graph, Judged([fold], bundle, split, audit))


@cached_task(
    "publish {run.config.model_name}",
    rooms=PUBLISHING,
    by=lambda run, features, model, report: (
        run.models.location,
        run.config.model_name,
        features.data_fingerprint,
        model,
        report,
    ),
    retried=True,
)
def upload_model(run: Run, features: Features, model: Model, report: Report) -> Published:
    """Publish a version: its files, the manifest, then the pointers. Doing it again is harmless."""
    from gnn_trainer.evaluation.exhibits import Exhibits
    from gnn_trainer.evaluation.predictions import BARS, PREDICTIONS
    from gnn_trainer.evaluation.report import EvaluationReport

    evaluation = run.datasets.get(report.report, EvaluationReport)
    tables = {
        PREDICTIONS: run.datasets.get_bytes(report.predictions),
        BARS: run.datasets.get_bytes(report.bars),
    }
    exhibits = run.datasets.get(report.exhibits, Exhibits)
    return publish(run, features, bundle_of(run, model), evaluation, tables, exhibits)
