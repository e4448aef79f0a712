"""`python -m gnn_trainer.exchange`: serve a simulated exchange until interrupted."""

import argparse
import logging
import signal
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from gnn_trainer.errors import ConfigError
from gnn_trainer.exchange.clock import utc_text
from gnn_trainer.exchange.config import GENEROUS_LIMITS, TRUE_LIMITS, ExchangeConfig
from gnn_trainer.exchange.faults import Fault, FaultKind
from gnn_trainer.exchange.process import RunningExchange, start_exchange

_DEFAULTS = ExchangeConfig()
EXIT_BAD_CONFIGURATION = 2


def main(arguments: list[str]) -> int:
    """Print the URL, then serve; 0 when interrupted, 2 for a configuration that cannot work."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = _parser().parse_args(arguments)
    try:
        faults = [_fault(text) for text in options.fault]
        exchange = start_exchange(_config(options))
    except (ConfigError, ValidationError) as exc:
        sys.stderr.write(f"{exc}\n")
        return EXIT_BAD_CONFIGURATION
    with exchange:
        for fault in faults:
            exchange.faults.add(fault)
        sys.stdout.write(f"{exchange.url}\n")
        sys.stdout.flush()
        sys.stderr.write(_description(exchange))
        _wait_for_a_signal()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gnn_trainer.exchange",
        description="Serve a simulated exchange that speaks Binance REST (spot and USD-M).",
    )
    add = parser.add_argument
    add(
        "--host",
        default=_DEFAULTS.host,
        help="address to listen on; 0.0.0.0 lets other machines and containers in",
    )
    add("--port", type=int, default=_DEFAULTS.port, help="port to listen on; 0 takes a free one")
    add("--seed", type=int, default=_DEFAULTS.seed, help="same seed, same market")
    add("--symbols", type=int, default=_DEFAULTS.symbols, help="clean symbols; traps are extra")
    add("--interval", default=_DEFAULTS.interval, help="finest bars served")
    add("--bars", type=int, default=None, help="closed bars; default about 180 days of them")
    add(
        "--strength",
        type=float,
        default=_DEFAULTS.strength,
        help="of the planted lead-lag graph, 0 (pure noise) up to below 1",
    )
    add("--replay", type=Path, default=None, metavar="FILE", help="serve recorded candles")
    add("--now", default=None, metavar="ISO", help="server time at the start, UTC")
    add("--limits", choices=("true", "generous"), default="true", help="request weight limits")
    add(
        "--fault",
        action="append",
        default=[],
        metavar="KIND[:PATH[:TIMES]]",
        help=f"misbehave; kinds: {', '.join(FaultKind)}",
    )
    return parser


def _config(options: argparse.Namespace) -> ExchangeConfig:
    return ExchangeConfig(
        seed=options.seed,
        symbols=options.symbols,
        interval=options.interval,
        bars=options.bars,
        strength=options.strength,
        replay=options.replay,
        now_ms=None if options.now is None else _unix_ms(options.now),
        host=options.host,
        port=options.port,
        limits=TRUE_LIMITS if options.limits == "true" else GENEROUS_LIMITS,
    )


def _unix_ms(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--now {text!r} is no time; write it like 2025-06-30T00:07:00") from None
    in_utc = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return int(in_utc.timestamp() * 1000)


def _fault(text: str) -> Fault:
    kind, _, rest = text.partition(":")
    path, _, times = rest.partition(":")
    if kind not in set(FaultKind) or not (times.isdecimal() or not times):
        raise ConfigError(
            f"--fault {text!r} unknown; write KIND[:PATH[:TIMES]] with a kind of "
            f"{', '.join(FaultKind)}"
        )
    fault = Fault(FaultKind(kind), path)
    return Fault(FaultKind(kind), path, times=int(times)) if times else fault


def _description(exchange: RunningExchange) -> str:
    skill = ""
    if exchange.oracle is not None:
        skill = f"; best possible RankIC one bar ahead {exchange.oracle.oracle_rank_ic():.3f}"
    return f"server time {utc_text(exchange.now_ms)}{skill}; stop with Ctrl-C\n"


def _wait_for_a_signal() -> None:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
