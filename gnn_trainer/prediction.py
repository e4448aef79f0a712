"""The newest bar of a market, scored by a published model: fetch what that needs, then predict."""

import logging
from dataclasses import dataclass

import polars as pl

from gnn_trainer.adapters import open_adapters
from gnn_trainer.adapters.published import published_at
from gnn_trainer.artifact.predictor import Predictor, load_published
from gnn_trainer.collecting import collect_books, collect_history
from gnn_trainer.config import TrainConfig
from gnn_trainer.errors import DataError
from gnn_trainer.market.assembly import load_frame
from gnn_trainer.market.history import History
from gnn_trainer.market.intervals import interval_ms
from gnn_trainer.market.universe import SymbolChoice, resolve_universe
from gnn_trainer.progress import ProgressListener
from gnn_trainer.settings import Settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Forecast:
    """`table` as `Predictor.predict` gives it, and the symbols the exchange no longer has."""

    predictor: Predictor
    table: pl.DataFrame
    dropped: dict[str, str]


def forecast_newest(
    settings: Settings, config: TrainConfig, model_uri: str, on_progress: ProgressListener
) -> Forecast:
    """Score the newest closed bar of the market that the settings name.

    Raises:
        ArtifactError: no such model, or one that was altered.
        DataError: no symbol of the model has a usable bar now.
        ServiceError: the exchange fails.
    """
    predictor = load_published(published_at(model_uri, settings.minio))
    bundle = predictor.bundle
    own = config.model_copy(update={"interval": bundle.interval})
    with open_adapters(settings, own) as adapters:
        source = adapters.source
        trained_on = predictor.manifest.data.source
        if source.name != trained_on:
            logger.warning("the model was trained on %s, this is %s", trained_on, source.name)
        step = interval_ms(bundle.interval)
        end_ms = source.server_time_ms() // step * step
        span = (end_ms - predictor.bars_needed * step, end_ms)
        universe = resolve_universe(SymbolChoice(bundle.symbols), source.listings(), {}, *span)
        history = History(settings.workspace / "history")
        symbols = universe.symbols
        refused = collect_history(history, source, bundle.interval, symbols, *span, on_progress)
        collect_books(history, source, symbols, (end_ms, end_ms + step), on_progress)
    listings = universe.listings
    frame, _ = load_frame(history, source.name, bundle.interval, symbols, *span, listings)
    table = predictor.predict(frame)
    if table["masked"].all():
        raise DataError(
            f"none of {frame.num_symbols} symbols can be scored: every bar is masked, or fewer "
            f"than the {predictor.bars_needed} bars the model reads back are there"
        )
    return Forecast(predictor, table, universe.dropped | refused)
