"""The report part by part: what each shows, and its figures as tables."""

from collections.abc import Iterator

from gnn_trainer.evaluation.report import EvaluationReport
from gnn_trainer.report.material import Material, Section, Table, day
from gnn_trainer.report.tables import (
    COLUMNS,
    SLICE_COLUMNS,
    SLICES,
    bounds,
    score_rows,
    slice_row,
)


def sections_of(material: Material) -> tuple[Section, ...]:
    """Those there is something to show in, the most telling first."""
    report = material.report
    judged = () if report is None else tuple(_judged(material, report))
    return (*judged, *_learning(material), *_data(material))


def _judged(material: Material, report: EvaluationReport) -> Iterator[Section]:
    scores = Table("", COLUMNS, tuple(score_rows(report)))
    yield Section(
        "Is it better than simpler things?",
        (
            "All predictors are judged on the same bars. An interval right of zero in the second "
            "panel: the model is better, and not by chance.",
        ),
        "skill",
        (scores,),
    )
    yield from _over_time(material)
    yield from _graph(material, report)
    yield _slices(report)
    yield _money(report)
    yield from _sureness(material, report)
    yield from _importance(material)
    yield from _audit(report)


def _over_time(material: Material) -> Iterator[Section]:
    shown = material.exhibits
    if shown is None or not shown.periods:
        return
    better = sum(period.rank_ic.mean > 0.0 for period in shown.periods)
    rows = tuple(
        (
            day(period.first_ms),
            str(period.bars),
            f"{period.rank_ic.mean:.4f}",
            bounds(period.rank_ic),
            f"{period.rank_ic_no_graph:.4f}",
        )
        for period in shown.periods
    )
    columns = ("from", "bars", "RankIC", "95 % interval", "no graph")
    yield Section(
        "Does the skill last?",
        (f"The RankIC is above zero in {better} of {len(rows)} periods of the test span.",),
        "periods",
        (Table("", columns, rows),),
    )


def _graph(material: Material, report: EvaluationReport) -> Iterator[Section]:
    says = [
        f"{report.graph_density:.1%} of all possible edges are in use; {report.graph_churn:.1%} of "
        "them are new at each refresh."
    ]
    if report.recovery is not None:
        found = report.recovery
        says.append(
            f"Of {found.planted} planted edges it holds {found.recall:.0%} (recall); "
            f"{found.precision:.0%} of its leads are planted (precision)."
        )
    portrait = None if material.exhibits is None else material.exhibits.portrait
    if portrait is None or not portrait.leads:
        yield Section("Who leads whom?", tuple(says))
        return
    rows = tuple(
        (lead.leader, lead.follower, f"{lead.share:.0%}", f"{lead.weight:.3f}")
        for lead in portrait.leads
    )
    leaders = tuple((name, f"{mean:.1f}") for name, mean in portrait.followers.items())
    says.append(f"Drawn are the {len(rows)} heaviest of the edges in force in the test span.")
    yield Section(
        "Who leads whom?",
        tuple(says),
        "graph",
        (
            Table("Heaviest edges", ("leader", "follower", "of refreshes", "weight"), rows),
            Table("Leaders", ("symbol", "followers, mean"), leaders),
        ),
    )


def _slices(report: EvaluationReport) -> Section:
    tables = tuple(
        Table(f"By {title}", SLICE_COLUMNS, tuple(map(slice_row, report.sliced(kind))))
        for kind, title in SLICES.items()
        if report.sliced(kind)
    )
    return Section(
        "Where is the skill?",
        ("Skill that sits in one symbol, one hour or one mood of the market will not last.",),
        "slices" if any(len(report.sliced(kind)) > 1 for kind in SLICES) else None,
        tables,
    )


def _money(report: EvaluationReport) -> Section:
    money = report.backtest
    outcomes = {
        "prices alone": money.gross,
        **{f"{bps} bps per trade": found for bps, found in money.by_cost_bps.items()},
        f"fee {money.fee_bps:g} bps and half spread": money.net,
    }
    rows = tuple(
        (
            name,
            f"{found.annual_return:+.1%}",
            f"{found.sharpe:.2f}",
            f"{found.deflated_sharpe:.3f}",
            f"{found.max_drawdown:.1%}",
        )
        for name, found in outcomes.items()
    )
    return Section(
        "Does it pay?",
        (
            f"A dollar-neutral rank portfolio, entered at the next open, trades "
            f"{money.turnover:.0%} of its capital per bar. It breaks even at "
            f"{money.break_even_bps:.2f} basis points per trade. Trials counted: {money.trials}.",
        ),
        "money" if money.bars > 1 else None,
        (Table("", ("costs", "a year", "Sharpe", "deflated Sharpe", "drawdown"), rows),),
    )


def _sureness(material: Material, report: EvaluationReport) -> Iterator[Section]:
    shown, fitted = material.exhibits, report.calibration
    if shown is None or shown.reliability is None:
        return
    found = shown.reliability
    rows = tuple(
        (f"{sure:.3f}", f"{right:.3f}", str(count))
        for sure, right, count in zip(found.sure, found.right, found.counts, strict=True)
    )
    before = "" if shown.uncalibrated is None else f", {shown.uncalibrated.ece:.3f} uncalibrated"
    says = [f"Expected calibration error {found.ece:.3f} on the test span{before}."]
    if fitted is not None:
        says.append(f"Temperature {fitted.temperature:.3f}, fitted on the validation span.")
    columns = ("how sure, mean of the bin", "how often right", "samples")
    tables = (Table("", columns, rows),)
    yield Section("Does it know how sure it is?", tuple(says), "sureness", tables)


def _importance(material: Material) -> Iterator[Section]:
    if material.exhibits is None or not material.exhibits.importance:
        return
    rows = tuple(
        (found.feature, f"{found.lost.mean:+.4f}", bounds(found.lost))
        for found in material.exhibits.importance
    )
    says = (
        "RankIC lost on the validation span when the feature changes places between symbols. "
        "Features that say the same stand in for each other and look small.",
    )
    columns = ("feature", "RankIC lost", "95 % interval")
    yield Section("What does it look at?", says, "importance", (Table("", columns, rows),))


def _audit(report: EvaluationReport) -> Iterator[Section]:
    audit = report.audit
    if audit is None:
        yield Section("Did it know the future?", ("It was not audited.",))
        return
    rows = tuple(
        (
            check.step,
            check.test,
            "passed" if check.passed else "FAILED",
            str(check.compared),
            "; ".join(check.breaches) or "nothing",
        )
        for check in audit.checks
    )
    says = [f"The leak audit {'passed' if audit.passed else 'DID NOT PASS'}: {len(rows)} checks."]
    says += [f"Suspicious: {suspicion}." for suspicion in audit.suspicions]
    columns = ("step", "test", "", "compared", "found")
    yield Section("Did it know the future?", tuple(says), None, (Table("", columns, rows),))


def _learning(material: Material) -> Iterator[Section]:
    if not material.history:
        return
    rows = tuple(
        (str(e.epoch), f"{e.loss:.4f}", f"{e.val_rank_ic:.4f}", f"{e.seconds:.1f}")
        for e in material.history
    )
    columns = ("epoch", "training loss", "validation RankIC", "seconds")
    says = (f"Best of {len(rows)} epochs on the validation span: {material.best_epoch}.",)
    picture = "learning" if len(rows) > 1 else None
    yield Section("How did it learn?", says, picture, (Table("", columns, rows),))


def _data(material: Material) -> Iterator[Section]:
    data = material.data
    if data is None:
        return
    rows = tuple(
        (
            entry.symbol,
            f"{entry.valid_bars / max(data.num_bars, 1):.1%}",
            str(entry.missing_bars),
            str(entry.duplicates + entry.misaligned + entry.impossible),
            str(entry.outside_listing + entry.frozen),
            str(len(entry.jump_times_ms)),
            str(entry.funding_rates),
            str(entry.book_snapshots),
        )
        for entry in data.symbols
    )
    usable = sum(entry.valid_bars for entry in data.symbols)
    possible = max(data.num_bars * len(data.symbols), 1)
    columns = ("symbol", "usable", "missing", "dropped", "masked", "jumps", "funding", "books")
    says = (
        f"{data.source}, {data.num_bars} bars of {data.interval}, {day(data.start_ms)} to "
        f"{day(data.end_ms)} UTC: {usable / possible:.1%} of all symbol-bars are usable, "
        f"{len(data.market_holes)} hole(s) in the whole market.",
    )
    yield Section("How good were the data?", says, "data", (Table("", columns, rows),))
