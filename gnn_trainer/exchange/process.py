"""Starting and stopping an exchange: an HTTP server in a thread of this process."""

import asyncio
import threading
from types import TracebackType
from typing import Self

from aiohttp import web

from gnn_trainer.errors import ConfigError
from gnn_trainer.exchange.clock import ServerClock
from gnn_trainer.exchange.config import EVERY_ADDRESS, LOOPBACK, ExchangeConfig
from gnn_trainer.exchange.faults import FaultPlan
from gnn_trainer.exchange.gateway import Gateway
from gnn_trainer.exchange.generated import GeneratedMarket
from gnn_trainer.exchange.replay import ReplayedMarket
from gnn_trainer.exchange.server import RequestLog, make_application

_STOP_WITHIN_S = 10.0
_LET_IN_S = 0.01


class RunningExchange:
    """A simulated exchange that answers at `url` until `close`; a context manager.

    `faults` may be switched on while it runs, `requests` tells what it was asked, `clock.advance`
    moves its time forward, and `oracle` is the generated market behind it (None for a replay).
    """

    def __init__(self, config: ExchangeConfig) -> None:
        self.oracle = GeneratedMarket(config) if config.replay is None else None
        truth = self.oracle or ReplayedMarket(config)
        self.clock = ServerClock(truth.now_ms, ticking=config.ticking)
        self.faults = FaultPlan()
        self.requests = RequestLog()
        self._gateway = Gateway(truth, self.clock, config.limits)
        self._application = make_application(self._gateway, self.faults, self.requests)
        self._host, self._port = config.host, config.port
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._started = threading.Event()
        self._failure: OSError | None = None
        # A daemon: whoever forgets to close it does not hang at exit.
        self._thread = threading.Thread(target=self._run, name="exchange", daemon=True)

    @property
    def url(self) -> str:
        """Base of all endpoints, without a path: `<url>/api/v3/...`, `<url>/fapi/v1/...`."""
        host = LOOPBACK if self._host == EVERY_ADDRESS else self._host
        return f"http://{host}:{self._port}"

    spot_url = url
    futures_url = url

    @property
    def now_ms(self) -> int:
        return self.clock.now_ms()

    def forget_usage(self) -> None:
        """Count requests against the limits anew, as after minutes of silence."""
        self._gateway.forget_usage()

    def start(self) -> Self:
        """Serve.

        Raises:
            ConfigError: the port is taken, or the address is not this machine's.
        """
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            self._thread.join()
            raise ConfigError(
                f"the exchange cannot listen on {self._host}:{self._port} ({self._failure}); use "
                "another port, 0 for a free one, or another address of this machine"
            ) from self._failure
        return self

    def close(self) -> None:
        """Stop serving and free the port; closing twice does nothing."""
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(_STOP_WITHIN_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        runner = web.AppRunner(self._application, access_log=None, shutdown_timeout=0.2)
        try:
            await runner.setup()
            assert runner.server is not None  # it is set up
            server = await self._loop.create_server(runner.server, self._host, self._port)
            self._port = server.sockets[0].getsockname()[1]
            self._started.set()
            await self._stop.wait()
            await stop_listening(server)
        except OSError as exc:
            self._failure = exc
        finally:
            self._started.set()
            await runner.cleanup()


async def stop_listening(server: asyncio.Server) -> None:
    """Let nobody in any more, and those who were just being let in become connections.

    A server that closes in between (Python 3.11) leaves them without an owner: nobody hangs up.
    """
    loop = asyncio.get_running_loop()
    for door in server.sockets:
        loop.remove_reader(door.fileno())
    await asyncio.sleep(0)
    server.close()
    # The connections are known to the application, which hangs up, a few steps later.
    await asyncio.sleep(_LET_IN_S)


def start_exchange(config: ExchangeConfig) -> RunningExchange:
    """A running exchange; close it, or use it in a `with` statement.

    Raises:
        ConfigError: unusable port, replay file or time.
    """
    return RunningExchange(config).start()
