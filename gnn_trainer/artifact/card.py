"""The documents of a version: what the model is, how it was judged, and how to use it."""

from dataclasses import dataclass

from pydantic_core import to_json

from gnn_trainer.artifact.bundle import Bundle
from gnn_trainer.artifact.manifest import DataRecord
from gnn_trainer.evaluation.exhibits import Exhibits
from gnn_trainer.evaluation.protocol import Span, is_placebo
from gnn_trainer.evaluation.report import EvaluationReport
from gnn_trainer.market.report import DataReport
from gnn_trainer.report.material import Material, day
from gnn_trainer.report.page import report_page
from gnn_trainer.report.tables import COLUMNS, score_rows, slice_tables

METRICS, DATA_REPORT, EXHIBITS = "metrics.json", "data_report.json", "exhibits.json"


@dataclass(frozen=True)
class Story:
    """Everything the documents for people tell."""

    model_name: str
    version: str
    bundle: Bundle
    data: DataRecord
    report: EvaluationReport | None  # None: training was stopped, nothing was judged
    data_report: DataReport | None = None
    exhibits: Exhibits | None = None


def documents(story: Story) -> dict[str, bytes]:
    """By file name: the figures as JSON, and what people read."""
    report = story.report
    metrics = {"history": story.bundle.model.history} if report is None else report.to_dict()
    files = {
        METRICS: _json(metrics),
        "model_card.md": model_card(story),
        "report.html": report_page(material_of(story)),
    }
    if story.data_report is not None:
        files[DATA_REPORT] = _json(story.data_report.to_dict())
    if story.exhibits is not None:
        files[EXHIBITS] = _json(story.exhibits.to_dict())
    return files


def _json(value: object) -> bytes:
    """For people and for every reader: an unknown figure is null."""
    return to_json(value, indent=2, inf_nan_mode="null")


def model_card(story: Story) -> bytes:
    """model_card.md."""
    table = [COLUMNS, tuple("---" for _ in COLUMNS), *_skill(story)]
    lines = [
        f"# {story.model_name} {story.version}",
        "",
        *_paragraphs(story),
        "",
        "## Skill on the test span",
        "",
        *("| " + " | ".join(row) + " |" for row in table),
        "",
        *_findings(story),
        *([] if story.report is None else slice_tables(story.report)),
        "",
        "## Use",
        "",
        "```python",
        "from gnn_trainer.artifact import load_model",
        f'table = load_model("<models>/{story.model_name}/{story.version}").predict(frame)',
        "```",
        "",
        "## Limits",
        "",
        *(f"- {limit}" for limit in _limits(story)),
        "",
    ]
    return "\n".join(lines).encode()


def material_of(story: Story) -> Material:
    """What report.html shows."""
    return Material(
        title=f"{story.model_name} {story.version}",
        about=tuple(text for text in _paragraphs(story) if text),
        limits=tuple(_limits(story)),
        report=story.report,
        history=story.bundle.model.history,
        best_epoch=story.bundle.model.best_epoch,
        data=story.data_report,
        exhibits=story.exhibits,
    )


def _paragraphs(story: Story) -> list[str]:
    bundle, data, report = story.bundle, story.data, story.report
    labels = bundle.model.label_config
    unit = "times its own volatility" if labels.threshold == "volatility" else "(log return)"
    return [
        f"A graph neural network that scores every symbol of a market for the next "
        f"{labels.horizon} bar(s) of {bundle.interval}: the chance of DOWN, FLAT and UP, the "
        "expected log return from the next open, and a rank among the symbols.",
        "",
        f"Trained on {len(data.symbols)} symbols of {data.source}, {day(data.start_ms)} to "
        f"{day(data.end_ms)}. A move is UP or DOWN beyond {bundle.model.class_threshold:.4g} "
        f"{unit}. Best epoch {bundle.model.best_epoch} of {len(bundle.model.history)}, seed "
        f"{bundle.model.seed}.",
        "",
        *_spans(report),
        *_relations(bundle),
    ]


def _spans(report: EvaluationReport | None) -> list[str]:
    if report is None:
        return []
    return [
        f"Training span {_span(report.train)}; validation {_span(report.validation)}; "
        f"test {_span(report.test)}."
    ]


def _relations(bundle: Bundle) -> list[str]:
    if bundle.relations is None:
        return []
    return ["", "Prepared relations. " + "; ".join(bundle.relations.report.lines()) + "."]


def _skill(story: Story) -> list[tuple[str, ...]]:
    return [] if story.report is None else score_rows(story.report)


def _findings(story: Story) -> list[str]:
    report = story.report
    if report is None:
        return ["Training was stopped: this is its best epoch so far, and it was not judged."]
    gain = report.graph_contribution
    verdict = "champion" if report.verdict.promoted else "challenger"
    return [
        f"Graph contribution (RankIC with graph minus RankIC of the same network without): "
        f"{gain.mean:+.4f}, 95 % interval {gain.low:+.4f} .. {gain.high:+.4f}.",
        "",
        *_placebos(report),
        *_recovery(report),
        f"Verdict: {verdict}; " + "; ".join(report.verdict.reasons) + ".",
    ]


def _placebos(report: EvaluationReport) -> list[str]:
    found = [
        f"{found.interval.mean:+.4f} ({found.interval.low:+.4f} .. {found.interval.high:+.4f}) "
        f"over the {name}"
        for name, found in report.differences.items()
        if is_placebo(name)
    ]
    return ["Against graphs that mean less: " + "; ".join(found) + ".", ""] if found else []


def _recovery(report: EvaluationReport) -> list[str]:
    found = report.recovery
    if found is None:
        return []
    return [
        f"Of {found.planted} planted edges the graph holds {found.recall:.0%} (recall), "
        f"{found.precision:.0%} of its leads are planted (precision), {found.strongest:.0%} of its "
        f"{found.planted} strongest; {found.delay:.0%} of those found have the planted delay.",
        "",
    ]


def _limits(story: Story) -> list[str]:
    return [
        *_class_shares(story.report),
        "No costs are deducted. Honest skill is small: a RankIC of .03 to .06 at 1h is good, and "
        "twice that is a reason to look for a leak.",
        *_test_spans(story),
    ]


def _test_spans(story: Story) -> list[str]:
    """How much the test spans can tell."""
    if story.report is None:
        return []
    folds = len({fold.test for fold in story.report.folds})
    seeds = len({fold.seed for fold in story.report.folds})
    members = len(story.bundle.model.network.members)
    return [
        f"Judged on {folds} test span(s), {seeds} training(s) each of {members} network(s): the "
        "spread between single networks is about as large as what a graph usually adds."
    ]


def _class_shares(report: EvaluationReport | None) -> list[str]:
    if report is None:
        return []
    shares = ", ".join(f"{name} {share:.0%}" for name, share in report.class_shares.items())
    return [f"Class shares in the test span: {shares}. Accuracy means little beside the largest."]


def _span(span: Span) -> str:
    return f"{day(span.first_ms)} to {day(span.last_ms)} ({span.bars} bars)"
