"""`gnn-trainer`: use and manage published models, and fill the market history from archive files.

Exit codes: 0 success, 1 it failed, 2 bad configuration, 130 Ctrl-C. Training is
`python flows/train.py`.
"""

import argparse
import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gnn_trainer.config import flags_given, resolve_span
from gnn_trainer.errors import ConfigError, GnnTrainerError
from gnn_trainer.registry_commands import add_parsers, execute
from gnn_trainer.settings import build_config, environment_help, process_environment

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from gnn_trainer.ports import Progress
    from gnn_trainer.prediction import Forecast

SUCCESS, FAILED, BAD_CONFIGURATION, INTERRUPTED = 0, 1, 2, 130
_BASIS_POINTS = 10_000
_FORECAST_COLUMNS = (
    "symbol",
    "p_down",
    "p_flat",
    "p_up",
    "expected return, bps",
    "rank score",
    "novelty",
)


def main() -> None:
    """The console script."""
    # Imported on use, here and below: `--help` answers at once.
    from rich.console import Console

    sys.exit(run(sys.argv[1:], process_environment(), Console(), Console(stderr=True)))


def run(
    argv: Sequence[str],
    environ: Mapping[str, str],
    console: "Console",
    error_console: "Console",
    clock: Callable[[], float] = time.time,
) -> int:
    """One command; the answer goes to `console`, errors and progress to `error_console`."""
    from gnn_trainer.check import print_problems

    arguments = _parser().parse_args(argv)
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    try:
        match arguments.command:
            case "predict":
                _predict(arguments, environ, console, error_console)
            case "import-archive":
                _import_archive(arguments, environ, console, error_console, int(clock() * 1000))
            case _:
                settings, config = build_config(environ, flags_given(arguments))
                execute(arguments, settings, config, console, clock())
    except ConfigError as exc:
        print_problems(exc, error_console)
        return BAD_CONFIGURATION
    except GnnTrainerError as exc:
        error_console.print(f"{type(exc).__name__}: {exc}", style="red", markup=False)
        return FAILED
    except KeyboardInterrupt:
        error_console.print("interrupted; what was stored is kept")
        return INTERRUPTED
    return SUCCESS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gnn-trainer",
        description="Use and manage published models. To train one: python flows/train.py --help",
        epilog=environment_help(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    predict = commands.add_parser("predict", help="score the newest bar of the market")
    predict.add_argument(
        "--model",
        metavar="URI",
        help="folder of a version, its file:// URI, s3://<bucket>/<name>/<version>, or any with "
        "latest or champion as the version [latest of MODEL_NAME where the settings publish]",
    )
    add_parsers(commands)
    archive = commands.add_parser(
        "import-archive",
        help="fill the market history from Binance's archive files (klines and funding)",
    )
    archive.add_argument("location", help="folder, or base URL such as https://data.binance.vision")
    for flag, meaning in (
        ("symbols", "comma list [SYMBOLS]"),
        ("interval", "length of a bar [INTERVAL]"),
        ("time-range", "YYYY-MM-DD:YYYY-MM-DD, or the last days as 90d [TIME_RANGE]"),
    ):
        archive.add_argument(f"--{flag}", default=argparse.SUPPRESS, help=meaning)
    return parser


def _predict(
    arguments: argparse.Namespace,
    environ: Mapping[str, str],
    console: "Console",
    error_console: "Console",
) -> None:
    settings, config = build_config(environ, {})
    from gnn_trainer.adapters import model_store
    from gnn_trainer.prediction import forecast_newest

    uri = arguments.model or f"{model_store(settings).location}/{config.model_name}/latest"

    with error_console.status("fetching") as status:
        forecast = forecast_newest(
            settings, config, uri, lambda progress: status.update(_one_line(progress))
        )
    console.print(forecast.predictor.uri, markup=False, soft_wrap=True)
    console.print(_forecast_table(forecast))
    masked = forecast.table.filter(forecast.table["masked"])["symbol"].to_list()
    if masked:
        console.print(f"masked, no usable bar: {', '.join(masked)}", markup=False)
    for symbol, reason in forecast.dropped.items():
        console.print(f"left out: {symbol}, {reason}", markup=False)


def _forecast_table(forecast: "Forecast") -> "Table":
    from rich.table import Table

    bundle = forecast.predictor.bundle
    opened = datetime.fromtimestamp(forecast.table["open_time"][0] / 1000, UTC)
    unlike = forecast.table["market_novelty"][0]
    table = Table(
        title=f"{bundle.interval} bar opened {opened:%F %H:%M} UTC, "
        f"{bundle.model.label_config.horizon} bar(s) ahead",
        caption=f"novelty of the market: {unlike:.2f} (above 0.95 little was learned about it)",
    )
    for name in _FORECAST_COLUMNS:
        table.add_column(name, justify="left" if name == "symbol" else "right")
    for row in forecast.table.filter(~forecast.table["masked"]).iter_rows(named=True):
        table.add_row(
            row["symbol"],
            *(f"{row[name]:.3f}" for name in ("p_down", "p_flat", "p_up")),
            f"{row['expected_return'] * _BASIS_POINTS:+.2f}",
            f"{row['rank_score']:+.3f}",
            f"{row['novelty']:.2f}",
        )
    return table


def _import_archive(
    arguments: argparse.Namespace,
    environ: Mapping[str, str],
    console: "Console",
    error_console: "Console",
    now_ms: int,
) -> None:
    settings, config = build_config(environ, flags_given(arguments))
    from gnn_trainer.adapters.archive import import_archive
    from gnn_trainer.market.history import History
    from gnn_trainer.market.universe import parse_symbols

    symbols = parse_symbols(config.symbols).symbols
    if not symbols:
        raise ConfigError(
            f"SYMBOLS={config.symbols!r}: an archive does not say which are the largest; name "
            "them, e.g. --symbols BTCUSDT,ETHUSDT"
        )
    start_ms, end_ms = resolve_span(
        config.time_range, now_ms, config.interval, config.split.step_days
    )
    with error_console.status("importing") as status:
        report = import_archive(
            History(settings.workspace / "history"),
            f"binance-{settings.market}",
            arguments.location,
            symbols,
            config.interval,
            start_ms,
            end_ms,
            lambda progress: status.update(_one_line(progress)),
        )
    console.print(
        f"{len(report.files)} files, {report.rows} rows read; {len(report.complete)} months were "
        f"complete before, {len(report.absent)} are not in the archive"
    )


def _one_line(progress: "Progress") -> str:
    figures = ", ".join(f"{name} {value}" for name, value in progress.fields.items())
    return f"{progress.stage} {progress.fraction:.0%} {figures}"
