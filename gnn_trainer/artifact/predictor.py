"""Loading a published model, and predicting with it.

from gnn_trainer.artifact import load_model
table = load_model(".gnn-trainer/models/market_gnn_v1/latest").predict(frame)
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from gnn_trainer.artifact.bundle import CONFIG, WEIGHTS, Bundle
from gnn_trainer.artifact.location import PublishedFiles
from gnn_trainer.artifact.manifest import MANIFEST, Manifest, read_manifest
from gnn_trainer.artifact.novelty_record import NOVELTY
from gnn_trainer.errors import ArtifactError, DataError
from gnn_trainer.features.build import build_features
from gnn_trainer.features.registry import FEATURES
from gnn_trainer.graph.assemble import assemble_graph
from gnn_trainer.graph.relations import Relations
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.frame import MarketFrame
from gnn_trainer.market.intervals import interval_ms
from gnn_trainer.training.inference import score_bars


@dataclass(frozen=True)
class Predictor:
    """A verified model, ready to score a market. `uri` is the version it was loaded from."""

    uri: str
    manifest: Manifest
    bundle: Bundle

    def predict(self, frame: MarketFrame, relations: Relations | None = None) -> pl.DataFrame:
        """Scores of every symbol at the newest bar of `frame`, best rank first.

        Columns: symbol, open_time (unix ms of that bar), p_down, p_flat, p_up (sum to one),
        expected_return (log return over the horizon), rank_score (higher = expected to
        outperform), novelty and market_novelty, masked. A masked symbol had no usable bar there;
        its scores are null. Symbols the model has not seen can be scored: it knows no names.

        Novelty is the share of the training data that was more like the rest of it than the symbol
        (all symbols together) now is, 0 to 1: above .95 little was learned about such a market.

        A model trained with prepared relations uses those it was published with, as far as they
        are valid at the newest bar, unless given newer `relations`. Values it was not trained
        with are left out; those it misses are taken as absent, and it hears less.

        Raises:
            DataError: the frame is empty or of another interval than the model's.
            ArtifactError: this program version makes other features or edges than the model's.
        """
        graph = self.graph_of(frame, relations)
        newest = frame.num_bars - 1
        columns, market_novelty = self._scores(graph, newest)
        usable_N = graph.mask_TN[newest]
        table = pl.DataFrame(
            {
                "symbol": frame.symbols,
                "open_time": np.full(frame.num_symbols, frame.open_time_T[newest]),
                **columns,
                "market_novelty": np.full(frame.num_symbols, market_novelty),
                "masked": ~usable_N,
            }
        )
        shown = pl.when(~pl.col("masked")).then(pl.col(*columns).fill_nan(None))
        return table.with_columns(shown.name.keep(), pl.col("market_novelty").fill_nan(None)).sort(
            "rank_score", "symbol", descending=[True, False], nulls_last=True
        )

    def graph_of(self, frame: MarketFrame, relations: Relations | None = None) -> GraphSequence:
        """The market as this model sees it; raises as `predict` does."""
        bundle, model = self.bundle, self.bundle.model
        if frame.num_bars == 0 or frame.interval_ms != interval_ms(bundle.interval):
            raise DataError(
                f"frame of {frame.num_bars} bars of {frame.interval_ms} ms; the model needs "
                f"bars of {bundle.interval}, about {self.bars_needed} of them"
            )
        features = build_features(frame, bundle.features)
        known = bundle.relations
        if known is not None and relations is not None:
            known = relations.valued_as(known.names)
        graph = assemble_graph(frame, features, bundle.graph, model.label_config, known)
        if (graph.feature_names, graph.edge_names) != (model.feature_names, model.edge_names):
            raise ArtifactError(
                f"{self.uri} was trained on other features or edges than this program makes; use "
                f"the code version that published it, {self.manifest.code_version}"
            )
        return graph

    def _scores(self, graph: GraphSequence, bar: int) -> tuple[dict[str, np.ndarray], float]:
        """Columns by name, a value per symbol each, and the novelty of the market."""
        bundle, model = self.bundle, self.bundle.model
        scores = score_bars(model, graph, bar, bar + 1)
        probability_N3 = bundle.calibration.apply(scores.probability_CN3)[0]
        rows = slice(bar, bar + 1)
        unlike = bundle.novelty.of_bars(model.scaler.apply(graph.x_TNF[rows]), graph.mask_TN[rows])
        columns = {
            "p_down": probability_N3[:, 0],
            "p_flat": probability_N3[:, 1],
            "p_up": probability_N3[:, 2],
            "expected_return": scores.expected_return_CN[0],
            "rank_score": scores.rank_CN[0],
            "novelty": unlike.symbol_CN[0],
        }
        return columns, float(unlike.market_C[0])

    @property
    def bars_needed(self) -> int:
        """Bars of history with which the newest bar is scored as in training, or nearly so.

        Exact for features and network. Edges are exponentially weighted over all history there
        is: with one half-life of it they are close, with more they are closer.
        """
        graph, model = self.bundle.graph, self.bundle.model
        features = max(feature.lookback(self.bundle.features) for feature in FEATURES)
        inputs = max(features, model.label_config.volatility_window)
        edges = max(graph.warmup_bars, graph.half_life_bars) + graph.refresh_bars
        return inputs + max(edges, model.network.history_bars)


def load_published(published: PublishedFiles) -> Predictor:
    """Load a version from wherever its files are, every hash verified.

    Raises:
        ArtifactError: incomplete, altered, or of an unknown format.
    """
    if MANIFEST not in published.names:
        raise ArtifactError(
            f"{published.uri} has no {MANIFEST}: no version, or one whose publication was cut "
            "short; publish it again"
        )
    manifest = read_manifest(published.read(MANIFEST), published.uri)
    manifest.check_names(published.names)
    files = {name: published.read(name) for name in manifest.files}
    for name, data in files.items():
        manifest.check_file(name, data)
    if absent := {CONFIG, WEIGHTS, NOVELTY} - set(files):
        raise ArtifactError(f"{published.uri} lists no {' and '.join(sorted(absent))}")
    return Predictor(published.uri, manifest, Bundle.from_files(files))
