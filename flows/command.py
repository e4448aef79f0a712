"""The command line of `python flows/train.py`: flags, a Prefect server if needed, exit codes.

Exit codes: 0 success, 1 the run failed, 2 bad configuration, 130 Ctrl-C.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from gnn_trainer.cli import BAD_CONFIGURATION, FAILED, INTERRUPTED, SUCCESS
from gnn_trainer.config import TrainConfig, add_flags, flags_given
from gnn_trainer.errors import ConfigError, GnnTrainerError, ServiceError
from gnn_trainer.market.durable import writing_in
from gnn_trainer.settings import environment_help, load_configuration

if TYPE_CHECKING:
    from flows.local_server import LocalServer

_PREFECT_DEFAULTS = {  # prefect.toml says the same to `prefect` commands in the repository
    "DO_NOT_TRACK": "1",  # the client's own reports of usage
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "gnn_trainer",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
}


@dataclass(frozen=True)
class Command:
    """A valid command line, and the server that is starting for it."""

    config: TrainConfig
    fresh: bool
    server: "LocalServer | None"  # None: PREFECT_API_URL says where one is


def prepare(argv: Sequence[str]) -> Command:
    """Read flags and environment, and start what takes seconds to start.

    Exits where there is nothing to run. Prefect and torch are not imported before the
    configuration is known to be good, so `--help` and bad values answer at once.
    """
    arguments = _parser().parse_args(argv)
    flags = flags_given(arguments)
    if arguments.check:
        from gnn_trainer.check import run_check

        sys.exit(run_check(flags))
    try:
        settings, config = load_configuration(flags)
        with writing_in(settings.workspace):
            server = _start_server(settings.workspace / "prefect")
    except GnnTrainerError as exc:
        sys.exit(_refuse(exc))
    return Command(config, arguments.fresh, server)


def execute(command: Command, train: Callable[[TrainConfig], Any]) -> int:
    """Run the flow against the command's server; returns the exit code."""
    from prefect import tags
    from prefect.settings import PREFECT_TASKS_REFRESH_CACHE, temporary_settings

    from flows.progress import tamed_prefect, terminal

    try:
        with (
            _serving(command.server),
            temporary_settings({PREFECT_TASKS_REFRESH_CACHE: command.fresh}),
            tags(command.config.model_name),
            tamed_prefect(terminal()),
        ):
            train(command.config)
    except GnnTrainerError as exc:
        return _refuse(exc)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; the next run goes on from what is stored\n")
        return INTERRUPTED
    return SUCCESS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        usage="%(prog)s [--check] [--fresh] [--SETTING VALUE]...",
        description="Train a graph neural network of a market and publish it.",
        epilog=environment_help(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--check", action="store_true", help="validate, try services, train nothing"
    )
    parser.add_argument(
        "--fresh", action="store_true", help="do every task again; bars already stored are kept"
    )
    add_flags(parser)
    return parser


def _start_server(folder: Path) -> "LocalServer | None":
    """A server of our own, unless the environment or the Prefect profile names one."""
    for name, value in _PREFECT_DEFAULTS.items():
        os.environ.setdefault(name, value)  # read when Prefect is imported, in a moment
    from prefect.settings import PREFECT_API_URL

    from flows.local_server import LocalServer

    return None if PREFECT_API_URL.value() else LocalServer(folder)


@contextmanager
def _serving(server: "LocalServer | None") -> Iterator[None]:
    """Make sure that there is a server to talk to, and that Prefect talks to it.

    Raises:
        ServiceError: there is none.
    """
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        PREFECT_LOGGING_TO_API_ENABLED,
        temporary_settings,
    )

    if server is None:
        _require_answer(PREFECT_API_URL.value())
        yield
        return
    with server:
        import torch_geometric  # noqa: F401  needed soon, and the server takes as long to start

        server.wait_until_ready()
        alone = {
            PREFECT_API_URL: server.api_url,
            PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,  # nobody watches; saves a second at the end
            PREFECT_LOGGING_TO_API_ENABLED: False,  # nobody reads them there
        }
        with temporary_settings(alone):
            yield


def _require_answer(api_url: str) -> None:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        failure = client.api_healthcheck()
    if failure is not None:
        raise ServiceError(
            f"Prefect's API at {api_url} does not answer ({type(failure).__name__}); start it, "
            "or unset PREFECT_API_URL to run with a local server"
        )


def _refuse(error: GnnTrainerError) -> int:
    """Show the error, configuration problems as a table; returns the exit code."""
    from gnn_trainer.check import print_problems

    console = Console(stderr=True)
    if isinstance(error, ConfigError):
        print_problems(error, console)
        return BAD_CONFIGURATION
    console.print(f"{type(error).__name__}: {error}", style="red", markup=False, soft_wrap=True)
    return FAILED
