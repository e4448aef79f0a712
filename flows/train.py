"""From a market to a published model: `python flows/train.py`, or deploy `flows/train.py:train`."""

import sys

if __name__ == "__main__":
    # First of all, so that --help answers at once and Prefect's server starts during the imports.
    from flows.command import prepare

    command = prepare(sys.argv[1:])

from prefect import flow, tags
from prefect.runtime import flow_run

from flows.references import Published
from flows.run import open_run
from flows.summary import announce
from flows.tasks import (
    assemble_graph,
    build_features,
    evaluate_model,
    fetch_funding,
    fetch_klines,
    fetch_order_book,
    load_relations,
    train_model,
    upload_model,
)
from gnn_trainer.config import TrainConfig


def run_name() -> str:
    """`market_gnn_v1 top:20 1h`."""
    config = flow_run.parameters["config"]
    if config is None:
        return "as the environment says"
    return f"{config.model_name} {config.symbols} {config.interval}"


@flow(flow_run_name=run_name)
def train(config: TrainConfig | None = None) -> Published:
    """Train a graph neural network of a market and publish it.

    Args:
        config: What to train; left out, the environment says it.
    """
    with open_run(config) as run, tags(run.config.model_name):
        candles = run.do(fetch_klines)
        books = run.do(fetch_order_book)
        funding = run.do(fetch_funding)
        relations = run.do(load_relations)
        features = run.do(build_features, candles, books, funding)
        graph = run.do(assemble_graph, features, relations)
        model = run.do(train_model, graph)
        report = run.do(evaluate_model, graph, model)
        published = run.do(upload_model, features, model, report)
    announce(run, report, published)
    return published


if __name__ == "__main__":
    from flows.command import execute

    sys.exit(execute(command, train))
