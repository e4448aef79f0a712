"""How a way of training does over many test spans: `python flows/walk_forward.py`, or deploy
`flows/walk_forward.py:walk`."""

import sys

if __name__ == "__main__":
    # First of all, so that --help answers at once and Prefect's server starts during the imports.
    from flows.command import prepare

    command = prepare(sys.argv[1:], "Train and judge a model on many test spans, into one report.")

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from flows.artifacts import show_data
from flows.attending import attended, cancelled, tell_cancellation, tell_crash
from flows.logs import arrange_logs
from flows.run import open_run
from flows.summary import announce_walk
from flows.tasks import (
    assemble_graph,
    build_features,
    fetch_funding,
    fetch_klines,
    fetch_order_book,
    load_relations,
)
from flows.walking import Walk, audit_folds, pool_folds, publish_walk, walk_folds
from gnn_trainer.config import TrainConfig


@flow(name="walk-forward", on_cancellation=[tell_cancellation], on_crashed=[tell_crash])
def walk(config: TrainConfig | None = None) -> Walk | State[Any]:
    """Judge a way of training on test spans that follow one another, each after its own training.

    Args:
        config: What to train, `split.folds` times; left out, the environment says it.
    """
    arrange_logs()
    with attended() as session, open_run(session, config) as run:
        candles = run.do(fetch_klines)
        books = run.do(fetch_order_book)
        funding = run.do(fetch_funding)
        relations = run.do(load_relations)
        features = run.do(build_features, candles, books, funding)
        show_data(run, features)
        graph = run.do(assemble_graph, features, relations)
        folds = run.do(walk_folds, features, graph)
        checked = run.do(audit_folds, features, graph, folds)
        report = run.do(pool_folds, features, graph, folds, checked)
        walked = run.do(publish_walk, features, folds, report)
        announce_walk(run, report, walked)
        return walked
    return cancelled(session)  # a stop ends the block above


if __name__ == "__main__":
    from flows.command import execute

    sys.exit(execute(command, walk))
