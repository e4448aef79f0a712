"""Handing the final market graph back to ArangoDB, for whoever draws it. Off by default."""

import logging

from flows.caching import GRAPH, cached_task
from flows.references import Graph, Published
from flows.run import Reference, Run
from gnn_trainer.adapters.arango import write_graph
from gnn_trainer.errors import ConfigError, ServiceError
from gnn_trainer.graph.export import newest_graph
from gnn_trainer.graph.sequence import GraphSequence

logger = logging.getLogger("gnn_trainer.write_back")


class Written(Reference):
    """How many documents of the graph are in the collection; None if it could not be written."""

    documents: int | None

    def is_there(self, run: Run) -> bool:
        return self.documents is not None


@cached_task(
    "write graph to {run.settings.arango.write_back}",
    rooms=(*GRAPH, "adapters/arango.py"),
    by=lambda run, graph, published: (run.settings.arango.write_back, graph, published.version),
)
def write_back_graph(run: Run, graph: Graph, published: Published) -> Written:
    """Write the newest bar's graph. The model is published by now, so a failure is only told."""
    assert run.settings.arango is not None, "called although no ArangoDB is configured"
    documents = newest_graph(
        run.datasets.get(graph.graph, GraphSequence),
        model_name=run.config.model_name,
        version=published.version,
    )
    try:
        written = write_graph(run.settings.arango, documents)
    except (ConfigError, ServiceError) as exc:
        logger.warning("the graph was not written back: %s", exc)
        return Written(documents=None)
    logger.info("graph written back: %d documents of version %s", written, published.version)
    return Written(documents=written)
