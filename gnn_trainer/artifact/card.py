"""model_card.md and report.html: what the model is, how it was judged, and how to use it."""

import html
from dataclasses import dataclass
from datetime import UTC, datetime

from gnn_trainer.artifact.bundle import Bundle
from gnn_trainer.artifact.manifest import DataRecord
from gnn_trainer.evaluation.metrics import Metrics
from gnn_trainer.evaluation.report import MODEL, EvaluationReport, Span

COLUMNS = ("predictor", "RankIC", "95 % interval", "IC", "accuracy", "macro-F1", "MCC")


@dataclass(frozen=True)
class Story:
    """Everything the documents for people tell."""

    model_name: str
    version: str
    bundle: Bundle
    data: DataRecord
    report: EvaluationReport | None  # None: training was stopped, nothing was judged


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


def report_page(story: Story) -> bytes:
    """report.html: one page that needs nothing else."""
    head, *rows = [COLUMNS, *_skill(story)]
    title = html.escape(f"{story.model_name} {story.version}")
    texts = [*_paragraphs(story), *_findings(story), *_limits(story)]
    page = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; }}
td, th {{ padding: .2rem .8rem; text-align: right; border-bottom: 1px solid #ccc; }}
td:first-child, th:first-child {{ text-align: left; }}
</style>
<h1>{title}</h1>
<table>
{_table_row("th", head)}
{"".join(_table_row("td", row) for row in rows)}</table>
{"".join(f"<p>{html.escape(text)}</p>" for text in texts if text)}
</html>
"""
    return page.encode()


def score_rows(report: EvaluationReport) -> list[tuple[str, ...]]:
    """One row of `COLUMNS` per predictor, the model first."""
    names = sorted(report.metrics, key=lambda name: name != MODEL)
    return [_score_row(name, report.metrics[name]) for name in names]


def _score_row(name: str, metrics: Metrics) -> tuple[str, ...]:
    rank_ic = metrics.rank_ic
    return (
        name,
        f"{rank_ic.mean:.4f}",
        f"{rank_ic.low:.4f} .. {rank_ic.high:.4f}",
        f"{metrics.ic:.4f}",
        f"{metrics.accuracy:.3f}",
        f"{metrics.macro_f1:.3f}",
        f"{metrics.mcc:.3f}",
    )


def _table_row(cell: str, values: tuple[str, ...]) -> str:
    return "<tr>" + "".join(f"<{cell}>{html.escape(v)}</{cell}>" for v in values) + "</tr>\n"


def _paragraphs(story: Story) -> list[str]:
    bundle, data, report = story.bundle, story.data, story.report
    labels = bundle.model.label_config
    unit = "times its own volatility" if labels.threshold == "volatility" else "(log return)"
    return [
        f"A graph neural network that scores every symbol of a market for the next "
        f"{labels.horizon} bar(s) of {bundle.interval}: the chance of DOWN, FLAT and UP, the "
        "expected log return from the next open, and a rank among the symbols.",
        "",
        f"Trained on {len(data.symbols)} symbols of {data.source}, {_day(data.start_ms)} to "
        f"{_day(data.end_ms)}. A move is UP or DOWN beyond {bundle.model.class_threshold:.4g} "
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
        f"Verdict: {verdict}; " + "; ".join(report.verdict.reasons) + ".",
    ]


def _limits(story: Story) -> list[str]:
    return [
        *_class_shares(story.report),
        "No costs are deducted. Honest skill is small: a RankIC of .03 to .06 at 1h is good, and "
        "twice that is a reason to look for a leak.",
        "One seed and one test span: the spread between seeds is about as large as what a graph "
        "usually adds.",
    ]


def _class_shares(report: EvaluationReport | None) -> list[str]:
    if report is None:
        return []
    shares = ", ".join(f"{name} {share:.0%}" for name, share in report.class_shares.items())
    return [f"Class shares in the test span: {shares}. Accuracy means little beside the largest."]


def _span(span: Span) -> str:
    return f"{_day(span.first_ms)} to {_day(span.last_ms)} ({span.bars} bars)"


def _day(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M}"
