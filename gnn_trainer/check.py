"""`--check`: what is set, missing, aliased and reachable, and whether a run could succeed."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic.fields import FieldInfo
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gnn_trainer.adapters import open_adapters, relation_source
from gnn_trainer.config import TrainConfig, resolve_span
from gnn_trainer.environment import (
    HIDDEN,
    ConfigProblems,
    Found,
    Problem,
    collect,
    env_fields,
    is_secret,
    printable,
)
from gnn_trainer.errors import ConfigError, GnnTrainerError
from gnn_trainer.market.durable import writing_in
from gnn_trainer.market.intervals import interval_ms
from gnn_trainer.market.universe import parse_symbols, resolve_universe
from gnn_trainer.ports import MarketSource, RelationSource
from gnn_trainer.services import KafkaSettings, MinioSettings
from gnn_trainer.settings import (
    ALL_SECTIONS,
    Settings,
    build_config,
    default_market_source,
    process_environment,
)

READY, UNREADY, MISCONFIGURED = 0, 1, 2
_LEAST_FREE_BYTES = 500 * 2**20
_GIB = 2**30


@dataclass(frozen=True)
class Finding:
    """What one service answered."""

    service: str
    works: bool
    detail: str


def run_check(flags: Mapping[str, str]) -> int:
    """Check this process's environment and print the tables; returns the exit code."""
    return check(process_environment(), flags, Console())


def check(environ: Mapping[str, str], flags: Mapping[str, str], console: Console) -> int:
    """Print what is configured and what answers. 0: a run could succeed; 1: a service or the disk
    would stop it; 2: the configuration would."""
    console.print(_variables_table(environ, flags))
    try:
        settings, config = build_config(environ, flags)
    except ConfigError as exc:
        print_problems(exc, console)
        return MISCONFIGURED
    findings = [_try_workspace(settings), _try_market(settings, config)]
    if settings.kafka is not None:
        findings.append(_try_kafka(settings, settings.kafka))
    if settings.minio is not None:
        findings.append(_try_minio(settings.minio))
    if (relations := relation_source(settings)) is not None:
        findings.append(_try_relations(relations, settings.relations_patience_s))
    console.print(_findings_table(findings))
    for line in settings.stand_ins():
        console.print(line, style="dim", highlight=False)
    return READY if all(finding.works for finding in findings) else UNREADY


def print_problems(error: ConfigError, console: Console) -> None:
    """One table with every problem, its value, and what was expected."""
    rows = (
        error.rows
        if isinstance(error, ConfigProblems)
        else [Problem("", "", text) for text in error.problems]
    )
    table = Table("setting", "value", "problem", title="The configuration cannot work")
    for row in rows:
        table.add_row(*map(escape, (row.name, row.value, row.expected)))
    console.print(table)


def _variables_table(environ: Mapping[str, str], flags: Mapping[str, str]) -> Table:
    table = Table("setting", "value", "from", title="Configuration")
    for model in ALL_SECTIONS:
        found, _ = collect(model, environ)
        given = flags if model is TrainConfig else {}
        for field, env in env_fields(model).items():
            info = model.model_fields[field]
            value, origin = _value_and_origin(info, env.name, found.get(field), given.get(field))
            if env.name == "MARKET_SOURCE" and origin == "not set":
                value = default_market_source(environ)
            style = "dim" if origin == "not set" else ""
            table.add_row(env.name, escape(value), origin, style=style)
    for dotted, value in flags.items():
        if "." in dotted:
            table.add_row(dotted, escape(value), "flag")
    return table


def _value_and_origin(
    info: FieldInfo, name: str, found: Found | None, flag: str | None
) -> tuple[str, str]:
    if flag is not None:
        return flag, "flag"
    if found is not None:
        value = HIDDEN if is_secret(info) else printable(found.value)
        return value, "environment" if found.name == name else f"its alias {found.name}"
    if info.default_factory is not None:
        return "(generated)", "not set"
    return "" if info.default is None or info.is_required() else str(info.default), "not set"


def _findings_table(findings: list[Finding]) -> Table:
    table = Table("service", "", "answer", title="Services")
    for finding in findings:
        mark = "[green]works[/]" if finding.works else "[red]fails[/]"
        table.add_row(finding.service, mark, escape(finding.detail))
    return table


def _try_workspace(settings: Settings) -> Finding:
    try:
        with writing_in(settings.workspace):
            free = shutil.disk_usage(settings.workspace).free
    except GnnTrainerError as exc:
        return Finding("workspace", works=False, detail=str(exc))
    detail = f"{settings.workspace.resolve()}: writable, {free / _GIB:.1f} GiB free"
    if free < _LEAST_FREE_BYTES:
        return Finding(
            "workspace", works=False, detail=f"{detail}; needs {_LEAST_FREE_BYTES / _GIB:.1f}"
        )
    return Finding("workspace", works=True, detail=detail)


def _try_market(settings: Settings, config: TrainConfig) -> Finding:
    """Ask for the time and the symbols, as a run would first of all, but without its patience."""
    from gnn_trainer.adapters.binance_calls import CallPolicy

    try:
        with open_adapters(settings, config, CallPolicy(attempts=1)) as adapters:
            detail = _describe_market(adapters.source, config)
    except GnnTrainerError as exc:
        return Finding("market", works=False, detail=str(exc))
    return Finding("market", works=True, detail=detail)


def _try_kafka(settings: Settings, kafka: KafkaSettings) -> Finding:
    from gnn_trainer.adapters.kafka import probe_kafka

    topics = (settings.queue_events_topic, settings.queue_control_topic)
    try:
        return Finding("kafka", works=True, detail=probe_kafka(kafka, topics))
    except GnnTrainerError as exc:
        return Finding("kafka", works=False, detail=str(exc))


def _try_relations(source: RelationSource, patience_s: float) -> Finding:
    """One look: a prepared graph may well come later, while the run waits for it."""
    try:
        extent = source.extent()
    except GnnTrainerError as exc:
        return Finding("relations", works=False, detail=str(exc))
    if extent.documents:
        return Finding(
            "relations", works=True, detail=f"{source.name}: {extent.documents} documents"
        )
    waits = f"a run waits up to {patience_s:.0f} s" if patience_s > 0.0 else "a run would not wait"
    detail = f"{source.name}: nothing there yet; {waits}"
    return Finding("relations", works=patience_s > 0.0, detail=detail)


def _try_minio(minio: MinioSettings) -> Finding:
    """Look, and write if the bucket is there: a check makes no bucket."""
    from gnn_trainer.adapters.s3 import S3Store
    from gnn_trainer.adapters.s3_client import connect_once

    store = S3Store(minio, connect_once)
    try:
        if not store.bucket_exists():
            detail = f"{minio.url} answers; the run will make bucket {minio.bucket!r}"
            return Finding("minio", works=True, detail=detail)
        store.prepare()
    except GnnTrainerError as exc:
        return Finding("minio", works=False, detail=str(exc))
    return Finding("minio", works=True, detail=f"{minio.url}, bucket {minio.bucket!r}: writable")


def _describe_market(source: MarketSource, config: TrainConfig) -> str:
    now_ms = source.server_time_ms()
    start_ms, end_ms = resolve_span(
        config.time_range, now_ms, config.interval, config.split.step_days
    )
    choice = parse_symbols(config.symbols)
    volumes = source.quote_volumes() if choice.top is not None else {}
    universe = resolve_universe(choice, source.listings(), volumes, start_ms, end_ms)
    bars = (end_ms - start_ms) // interval_ms(config.interval)
    dropped = "".join(f"; {symbol} dropped: {why}" for symbol, why in universe.dropped.items())
    return (
        f"{source.name}: exchange time {datetime.fromtimestamp(now_ms / 1000, UTC):%F %T} UTC, "
        f"{len(universe.symbols)} symbols, {bars} bars of {config.interval} from "
        f"{datetime.fromtimestamp(start_ms / 1000, UTC):%F %H:%M}{dropped}"
    )
