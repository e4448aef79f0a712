"""From a market to a published model: `python flows/train.py`, or deploy `flows/train.py:train`."""

import sys

if __name__ == "__main__":
    # First of all, so that --help answers at once and Prefect's server starts during the imports.
    from flows.command import prepare

    command = prepare(sys.argv[1:])

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from flows.artifacts import show_data, show_epochs
from flows.attending import attended, cancelled, tell_cancellation, tell_crash
from flows.logs import arrange_logs
from flows.models import forget_checkpoint
from flows.references import Published, history_of
from flows.run import open_run
from flows.stopping import keeping_best
from flows.summary import announce
from flows.tasks import (
    assemble_graph,
    audit,
    audit_learning,
    build_features,
    evaluate_model,
    fetch_funding,
    fetch_klines,
    fetch_order_book,
    fit_baselines,
    load_relations,
    train_model,
    upload_model,
)
from flows.write_back import write_back_graph
from gnn_trainer.config import TrainConfig


@flow(on_cancellation=[tell_cancellation], on_crashed=[tell_crash])
def train(config: TrainConfig | None = None) -> Published | State[Any]:
    """Train a graph neural network of a market and publish it.

    Args:
        config: What to train; left out, the environment says it.
    """
    arrange_logs()
    with attended() as session, open_run(session, config) as run, keeping_best(run):
        candles = run.do(fetch_klines)
        books = run.do(fetch_order_book)
        funding = run.do(fetch_funding)
        relations = run.do(load_relations)
        features = run.do(build_features, candles, books, funding)
        show_data(run, features)
        graph = run.do(assemble_graph, features, relations)
        model = run.do(train_model, graph)
        show_epochs(run.config.model_name, history_of(run, model))
        learning = run.do(audit_learning, features, graph, model)
        checked = run.do(audit, features, graph, model, learning)
        baselines = run.do(fit_baselines, graph, model)
        report = run.do(evaluate_model, features, graph, model, baselines, checked)
        published = run.do(upload_model, features, model, report)
        forget_checkpoint(run, graph)
        if run.settings.arango is not None and run.settings.arango.write_back is not None:
            run.do(write_back_graph, graph, published)
        announce(run, report, published)
        return published
    return cancelled(session)  # a stop ends the block above


if __name__ == "__main__":
    from flows.command import execute

    sys.exit(execute(command, train))
