"""The commands on published models: `publish`, `models`, `promote`, `rollback`."""

import argparse
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gnn_trainer.config import TrainConfig
from gnn_trainer.errors import ArtifactError
from gnn_trainer.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from gnn_trainer.artifact.catalogue import Entry
    from gnn_trainer.artifact.pointers import Move

COMMANDS = ("publish", "models", "promote", "rollback")


def add_parsers(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the commands to the command line's parser."""
    publish = commands.add_parser(
        "publish", help="deliver versions that were kept because their store was away"
    )
    publish.add_argument("version", nargs="?", help="only this one [all that are kept]")
    models = commands.add_parser("models", help="list versions, their metrics, and the pointers")
    models.add_argument("--all", action="store_true", help="of every model [MODEL_NAME]")
    for name, meaning in (
        ("promote", "make a newer version the champion"),
        ("rollback", "make an older version the champion again"),
    ):
        command = commands.add_parser(name, help=meaning)
        command.add_argument("version", help="as `gnn-trainer models` lists it")
        command.add_argument("--reason", required=True, help="why; kept in champion.json")
    for name in COMMANDS[1:]:
        commands.choices[name].add_argument(
            "--model-name", default=argparse.SUPPRESS, help="[MODEL_NAME]"
        )


def execute(
    arguments: argparse.Namespace,
    settings: Settings,
    config: TrainConfig,
    console: "Console",
    now_s: float,
) -> None:
    """Do one of `COMMANDS`. Raises the GnnTrainerError family."""
    match arguments.command:
        case "publish":
            _publish(settings, arguments.version, console)
        case "models":
            _show_models(settings, None if arguments.all else config.model_name, console)
        case _:
            _move(arguments, settings, config, datetime.fromtimestamp(now_s, UTC), console)


def _publish(settings: Settings, version: str | None, console: "Console") -> None:
    # Imported on use, here and below: `--help` answers at once.
    from gnn_trainer.adapters import model_store
    from gnn_trainer.adapters.folder import FolderStore
    from gnn_trainer.artifact.delivery import discard, versions_kept
    from gnn_trainer.artifact.publish import deliver

    unpublished, store = FolderStore(settings.unpublished_folder), model_store(settings)
    kept = [item for item in versions_kept(unpublished) if version in (None, item.name)]
    if version is not None and not kept:
        raise ArtifactError(f"{version} is not kept in {unpublished.location}; nothing to publish")
    for item in kept:
        published = deliver(store, item)
        discard(unpublished, item)
        rank = "champion" if published.promoted else item.manifest.outcome
        console.print(f"published {rank} {published.uri}", markup=False, soft_wrap=True)
    if not kept:
        console.print(f"nothing is kept in {unpublished.location}", markup=False, soft_wrap=True)


def _show_models(settings: Settings, model_name: str | None, console: "Console") -> None:
    from rich.table import Table

    from gnn_trainer.adapters import model_store
    from gnn_trainer.artifact.catalogue import champion_moves, list_versions

    store = model_store(settings)
    entries = list_versions(store, model_name)
    if not entries:
        wanted = "any model" if model_name is None else model_name
        console.print(f"no version of {wanted} in {store.location}", markup=False, soft_wrap=True)
        return
    table = Table(title=store.location)
    for column in ("model", "version", "points here", "outcome"):
        table.add_column(column, no_wrap=column != "points here")
    for column in ("RankIC", "95 % interval", "accuracy", "graph contribution"):
        table.add_column(column, justify="right")
    for entry in entries:
        table.add_row(*_row(entry))
    console.print(table)
    for name in dict.fromkeys(entry.model_name for entry in entries):
        if moves := champion_moves(store, name):
            console.print(_moves_table(name, moves))


def _row(entry: "Entry") -> tuple[str, ...]:
    mean, interval = "", ""
    if entry.rank_ic is not None:
        mean = f"{entry.rank_ic[0]:.4f}"
        interval = f"{entry.rank_ic[1]:.4f} .. {entry.rank_ic[2]:.4f}"
    return (
        entry.model_name,
        entry.version,
        ", ".join(entry.pointers),
        entry.outcome,
        mean,
        interval,
        "" if entry.accuracy is None else f"{entry.accuracy:.3f}",
        "" if entry.graph_contribution is None else f"{entry.graph_contribution:+.4f}",
    )


def _moves_table(model_name: str, moves: "tuple[Move, ...]") -> "Table":
    from rich.markup import escape
    from rich.table import Table

    table = Table("when", "by", "to", "from", "reason", title=f"champions of {model_name}")
    for move in moves:
        when = f"{move.at:%Y-%m-%d %H:%M}"
        table.add_row(when, move.action, move.version, move.previous or "", escape(move.reason))
    return table


def _move(
    arguments: argparse.Namespace,
    settings: Settings,
    config: TrainConfig,
    at: datetime,
    console: "Console",
) -> None:
    from gnn_trainer.adapters import model_store
    from gnn_trainer.artifact.catalogue import move_champion

    move = move_champion(
        model_store(settings),
        config.model_name,
        arguments.version,
        action=arguments.command,
        reason=arguments.reason,
        at=at.astimezone(UTC),
    )
    console.print(
        f"champion of {config.model_name}: {move.version}, before {move.previous or 'none'}",
        markup=False,
        soft_wrap=True,
    )
