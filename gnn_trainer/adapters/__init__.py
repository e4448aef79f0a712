"""The outside world, one file each; `open_adapters` connects what the settings name."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydantic import SecretStr, ValidationError

from gnn_trainer.adapters.folder import FolderStore
from gnn_trainer.config import TrainConfig
from gnn_trainer.errors import ConfigError
from gnn_trainer.evaluation.recovery import PlantedLead, Truth
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.durable import storage_errors, writing_in
from gnn_trainer.ports import MarketSource, ModelStore, RelationSource
from gnn_trainer.settings import Settings

if TYPE_CHECKING:
    from gnn_trainer.adapters.binance import BinanceSource
    from gnn_trainer.adapters.binance_calls import CallPolicy
    from gnn_trainer.adapters.s3_client import ClientFactory
    from gnn_trainer.exchange.config import ExchangeConfig
    from gnn_trainer.exchange.process import RunningExchange


@dataclass(frozen=True)
class Adapters:
    """What a run talks to. `exchange` is the simulated one behind `source`, if it is simulated;
    `relations` is None where no prepared graph is named."""

    source: MarketSource
    models: ModelStore
    relations: RelationSource | None
    exchange: "RunningExchange | None"

    def truth(self, graph: GraphSequence) -> Truth | None:
        """Best possible scores, [T, N], and planted edges; None unless the market is generated.

        They are known for the next bar only, and for the generated market's own bars; symbols the
        market plants nothing in score 0.
        """
        market = self.exchange.oracle if self.exchange is not None else None
        if market is None or (graph.horizon, graph.interval_ms) != (1, market.interval_ms):
            return None
        planted_TN = market.oracle_scores(graph.open_time_T)
        scores_TN = np.zeros((graph.num_bars, graph.num_symbols))
        for column, symbol in enumerate(graph.symbols):
            if symbol in market.symbols:
                scores_TN[:, column] = planted_TN[:, market.symbols.index(symbol)]
        leads = tuple(
            PlantedLead(edge.leader, edge.follower, edge.delay_bars)
            for edge in market.planted_edges
        )
        return Truth(np.nan_to_num(scores_TN), leads)


@contextmanager
def open_adapters(
    settings: Settings,
    config: TrainConfig,
    policy: "CallPolicy | None" = None,
    s3_client: "ClientFactory | None" = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[Adapters]:
    """Connect to the services the settings name, or start their stand-ins; close them at the end.

    `policy` says how patiently the exchange is asked, `s3_client` how a client of the object
    store is made; None is the adapter's own way. `should_stop` is asked before every request to the
    exchange. The store of models is not asked for anything yet: `ModelStore.prepare` does.

    Raises:
        ConfigError: the workspace cannot be written.
    """
    with writing_in(settings.workspace):
        pass  # a workspace that cannot be written is better found before the work than after it
    with ExitStack() as stack:
        exchange = None
        if settings.market_source == "simulated":
            exchange = stack.enter_context(_simulated_exchange(settings, config))
        source = stack.enter_context(
            _market_source(settings, config, exchange, policy, should_stop)
        )
        yield Adapters(
            source, model_store(settings, s3_client), relation_source(settings), exchange
        )


def model_store(settings: Settings, s3_client: "ClientFactory | None" = None) -> ModelStore:
    """Where this run's models belong: the bucket of MINIO_*, or the workspace's folder."""
    if settings.minio is None:
        return FolderStore(settings.models_folder)
    # Imported on use, because it brings boto3.
    from gnn_trainer.adapters.s3 import S3Store
    from gnn_trainer.adapters.s3_client import connect

    return S3Store(settings.minio, s3_client or connect)


def relation_source(settings: Settings) -> RelationSource | None:
    """Where a prepared graph lies, if the settings name one. Nothing is asked yet."""
    if settings.relations_file is not None:
        from gnn_trainer.adapters.relations_file import RelationsFile

        return RelationsFile(settings.relations_file)
    if settings.arango is None or not settings.arango.collections:
        return None
    from gnn_trainer.adapters.arango import ArangoRelations

    return ArangoRelations(settings.arango)


def _simulated_exchange(settings: Settings, config: TrainConfig) -> "RunningExchange":
    # Imported on use: a run against Binance needs no exchange, `--help` needs nothing at all.
    from gnn_trainer.exchange.process import start_exchange

    return start_exchange(simulated_market(settings, config))


def simulated_market(settings: Settings, config: TrainConfig) -> "ExchangeConfig":
    """The market that the SIMULATED_* variables describe.

    Raises:
        ConfigError: the values do not fit together.
    """
    from gnn_trainer.exchange.config import GENEROUS_LIMITS, ExchangeConfig

    wanted = settings.simulated
    given = {"seed": wanted.seed, "symbols": wanted.symbols, "strength": wanted.strength}
    now_ms = None if wanted.now is None else int(wanted.now.timestamp() * 1000)
    try:
        return ExchangeConfig(
            **{name: value for name, value in given.items() if value is not None},
            interval=config.interval,
            replay=wanted.replay,
            now_ms=now_ms,
            limits=GENEROUS_LIMITS,  # nobody is protected by waiting for ourselves
        )
    except ValidationError as exc:
        raise ConfigError(f"the SIMULATED_* variables make no market: {exc}") from exc


def _market_source(
    settings: Settings,
    config: TrainConfig,
    exchange: "RunningExchange | None",
    policy: "CallPolicy | None",
    should_stop: Callable[[], bool],
) -> "BinanceSource":
    from gnn_trainer.adapters.binance import BinanceSource
    from gnn_trainer.adapters.weights import WeightGovernor

    if exchange is not None:
        # Its weight limit comes with its list of symbols; that of funding no exchange tells.
        limits = simulated_market(settings, config).limits
        return BinanceSource(
            settings.market,
            exchange.url,
            name=simulated_name(settings, config),
            policy=policy,
            governor=WeightGovernor(limits.usdm_weight, funding_limit=limits.funding_requests),
            should_stop=should_stop,
        )
    return BinanceSource(
        settings.market,
        settings.market_url,
        _revealed(settings.binance.api_key),
        _revealed(settings.binance.api_secret),
        policy=policy,
        should_stop=should_stop,
    )


def _revealed(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def simulated_name(settings: Settings, config: TrainConfig) -> str:
    """A name that two simulated markets share only if they have the same bars.

    It keeps their histories and cached results apart; the time of day on the exchange and its
    limits change no bar.
    """
    market = simulated_market(settings, config)
    if market.replay is not None:
        with storage_errors(market.replay):
            content = market.replay.read_bytes()
        return f"replay-{settings.market}-{hashlib.sha256(content).hexdigest()[:12]}"
    terms = market.model_dump_json(include={"seed", "symbols", "interval", "bars", "strength"})
    digest = hashlib.sha256(terms.encode()).hexdigest()[:8]
    return f"simulated-{settings.market}-seed{market.seed}-{digest}"
