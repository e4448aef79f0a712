"""The final market graph as documents, in a shape that a prepared graph may have."""

from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import quote

import numpy as np

from gnn_trainer.graph.sequence import GraphSequence

Document = dict[str, object]


def newest_graph(graph: GraphSequence, *, model_name: str, version: str) -> list[Document]:
    """Nodes and edges in force at the newest bar; keys are unique and say the version.

    An edge's weight is the largest of its attributes by size: tenths of a correlation, or
    what a relation says. It is valid from the close of the bar on, when it could be known.
    """
    newest = graph.num_bars - 1
    known = datetime.fromtimestamp((graph.open_time_T[newest] + graph.interval_ms) / 1000, UTC)
    origin: Document = {
        "model_name": model_name,
        "version": version,
        "valid_from": known.isoformat(),
    }
    return [*_nodes(graph, newest, origin), *_edges(graph, newest, origin)]


def _nodes(graph: GraphSequence, bar: int, origin: Document) -> Iterator[Document]:
    for symbol, usable in zip(graph.symbols, graph.mask_TN[bar].tolist(), strict=True):
        key = f"{origin['version']}:{_in_key(symbol)}"
        yield {"_key": key, "type": "node", "symbol": symbol, "scored": usable, **origin}


def _edges(graph: GraphSequence, bar: int, origin: Document) -> Iterator[Document]:
    leader_Nk, attr_NkE = (edges[0] for edges in graph.edges_of(bar, bar + 1))
    for follower, slot in zip(*np.nonzero(leader_Nk >= 0), strict=True):
        values = attr_NkE[follower, slot].astype(np.float64)
        source, target = graph.symbols[leader_Nk[follower, slot]], graph.symbols[follower]
        yield {
            "_key": f"{origin['version']}:{_in_key(source)}:{_in_key(target)}",
            "type": "edge",
            "source": source,
            "target": target,
            "weight": float(values[np.abs(values).argmax()]),
            "attributes": dict(zip(graph.edge_names, values.tolist(), strict=True)),
            **origin,
        }


def _in_key(symbol: str) -> str:
    """Document keys are ASCII; symbols need not be."""
    return quote(symbol, safe="")
