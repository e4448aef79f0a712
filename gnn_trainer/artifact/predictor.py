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
from gnn_trainer.errors import ArtifactError, DataError
from gnn_trainer.features.build import build_features
from gnn_trainer.features.registry import FEATURES
from gnn_trainer.graph.assemble import assemble_graph
from gnn_trainer.graph.relations import Relations
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
        outperform), masked. A masked symbol had no usable bar there; its scores are null.
        Symbols the model has not seen can be scored: it knows no names.

        A model trained with prepared relations uses those it was published with, as far as they
        are valid at the newest bar, unless given newer `relations`. Values it was not trained
        with are left out; those it misses are taken as absent, and it hears less.

        Raises:
            DataError: the frame is empty or of another interval than the model's.
            ArtifactError: this program version makes other features or edges than the model's.
        """
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
        newest = frame.num_bars - 1
        scores = score_bars(model, graph, newest, frame.num_bars)
        usable_N = graph.mask_TN[newest]
        columns = {
            "p_down": scores.probability_CN3[0, :, 0],
            "p_flat": scores.probability_CN3[0, :, 1],
            "p_up": scores.probability_CN3[0, :, 2],
            "expected_return": scores.expected_return_CN[0],
            "rank_score": scores.rank_CN[0],
        }
        table = pl.DataFrame(
            {
                "symbol": frame.symbols,
                "open_time": np.full(frame.num_symbols, frame.open_time_T[newest]),
                **columns,
                "masked": ~usable_N,
            }
        )
        shown = pl.when(~pl.col("masked")).then(pl.col(*columns).fill_nan(None))
        return table.with_columns(shown.name.keep()).sort(
            "rank_score", "symbol", descending=[True, False], nulls_last=True
        )

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
    if absent := {CONFIG, WEIGHTS} - set(files):
        raise ArtifactError(f"{published.uri} lists no {' and '.join(sorted(absent))}")
    return Predictor(published.uri, manifest, Bundle.from_files(files))
