"""The command line of the flows, `python flows/train.py`: flags, a Prefect server if needed, exit
codes.

Exit codes: 0 success or stopped by command, 1 the run failed, 2 bad configuration, 130 Ctrl-C,
143 SIGTERM.
"""

import argparse
import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console

from flows.session import Session, open_session
from flows.signals import obeying_signals
from gnn_trainer.cli import BAD_CONFIGURATION, FAILED, SUCCESS
from gnn_trainer.config import TrainConfig, add_flags, flags_given
from gnn_trainer.control import StopController
from gnn_trainer.errors import ConfigError, GnnTrainerError, ServiceError, StopRequested
from gnn_trainer.market.durable import writing_in
from gnn_trainer.settings import (
    Settings,
    environment_help,
    load_configuration,
    process_environment,
    read_telemetry_settings,
)

if TYPE_CHECKING:
    from flows.local_server import LocalServer

_PREFECT_DEFAULTS = {  # prefect.toml says the same to `prefect` commands in the repository
    "DO_NOT_TRACK": "1",  # the client's own reports of usage
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "gnn_trainer",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
}
TRAINS = "Train a graph neural network of a market and publish it."
_UNDER_TORCHRUN = ConfigError(
    "torchrun would make several whole runs of this; start one and say --fit.processes: it has "
    "torchrun start the processes that share the fitting"
)
LAST_RESORT_S = 25.0  # Kubernetes kills 30 s after SIGTERM


@dataclass(frozen=True)
class Command:
    """A valid command line, what is open for it, and the server that is starting for it."""

    config: TrainConfig
    fresh: bool
    session: Session
    server: "LocalServer | None"  # None: PREFECT_API_URL says where one is
    opened: ExitStack  # signal handlers and session


def prepare(argv: Sequence[str], description: str = TRAINS) -> Command:
    """Read flags and environment, tell that the run begins, start what takes seconds to start.

    Exits where there is nothing to run. Prefect and torch are not imported before the
    configuration is known to be good, so `--help` and bad values answer at once.
    """
    arguments = _parse(argv, description)
    flags = flags_given(arguments)
    if arguments.check:
        from gnn_trainer.check import run_check

        sys.exit(run_check(flags))
    if "TORCHELASTIC_RUN_ID" in os.environ:
        sys.exit(_refuse(_UNDER_TORCHRUN))
    opened = ExitStack()
    stop = StopController()
    opened.enter_context(obeying_signals(stop))
    try:
        settings, config = load_configuration(flags)
        with writing_in(settings.workspace):
            pass
    except GnnTrainerError as exc:
        _tell_refusal(exc)
        sys.exit(_refuse(exc))
    session = opened.enter_context(open_session(settings, stop))
    try:
        server = _start_server(settings)
    except GnnTrainerError as exc:
        opened.__exit__(type(exc), exc, None)
        sys.exit(_refuse(exc))
    return Command(config, arguments.fresh, session, server, opened)


def execute(command: Command, train: Callable[[TrainConfig], Any]) -> int:
    """Run the flow against the command's server; returns the exit code."""
    from prefect.exceptions import CancelledRun
    from prefect.settings import PREFECT_TASKS_REFRESH_CACHE, temporary_settings

    from flows.progress import tamed_prefect, terminal
    from flows.watch import PREFECT

    session = command.session
    try:
        with (
            command.opened,
            _last_resort(session),
            _serving(command.server, session.stop),
            temporary_settings({PREFECT_TASKS_REFRESH_CACHE: command.fresh}),
            tamed_prefect(terminal()),
        ):
            try:
                train(command.config)
            except CancelledRun:
                session.stop.request(PREFECT, "cancelled in Prefect")
                raise
    except (StopRequested, CancelledRun, KeyboardInterrupt):
        sys.stderr.write("stopped; the next run goes on from what is stored\n")
        return session.exit_code
    except GnnTrainerError as exc:
        return _refuse(exc)
    finally:
        gc.freeze()  # nothing is left to collect: looking through it took two seconds of an exit
    return SUCCESS


@contextmanager
def _last_resort(session: Session) -> Iterator[None]:
    """End a process that was asked to stop and does not: nothing interrupts a thread in C code."""
    over = threading.Event()

    def watch() -> None:
        while not session.stop.wait(60.0):
            if over.is_set():
                return
        if not over.wait(LAST_RESORT_S):
            session.reporter.interrupted(f"stopped by {session.stop.source}; work was cut short")
            session.reporter.close()
            os._exit(session.exit_code)

    threading.Thread(target=watch, name="last resort", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _parse(argv: Sequence[str], description: str) -> argparse.Namespace:
    try:
        return _parser(description).parse_args(argv)
    except SystemExit as exc:
        if exc.code == BAD_CONFIGURATION:
            _tell_refusal(ConfigError(f"bad command line: {' '.join(argv)}"))
        raise


def _tell_refusal(error: GnnTrainerError) -> None:
    """The events of a run whose configuration is bad, if its Kafka settings are good."""
    settings = read_telemetry_settings(process_environment())
    if settings is None or settings.kafka is None:
        return
    with open_session(settings, StopController()) as session:
        session.reporter.error(type(error).__name__, str(error))


def _parser(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        usage="%(prog)s [--check] [--fresh] [--SETTING VALUE]...",
        description=description,
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


def _start_server(settings: Settings) -> "LocalServer | None":
    """A server of our own, unless the environment or the Prefect profile names one."""
    for name, value in _PREFECT_DEFAULTS.items():
        os.environ.setdefault(name, value)  # read when Prefect is imported, in a moment
    from prefect.settings import PREFECT_API_URL

    from flows.local_server import LocalServer

    if PREFECT_API_URL.value():
        return None
    with writing_in(settings.workspace):
        return LocalServer(settings.workspace / "prefect")


@contextmanager
def _serving(server: "LocalServer | None", stop: StopController) -> Iterator[None]:
    """Make sure that there is a server to talk to, and that Prefect talks to it.

    Raises:
        ServiceError: there is none.
        StopRequested: asked to stop before there was one.
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
        import torch  # noqa: F401  needed soon, and the server takes longer to start

        server.wait_until_ready(stop)
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
