"""From documents of a prepared graph to Relations. Tolerant, and counts whatever it leaves out.

The accepted shapes are documented in docs/data.md, "Relations". Nobody fixed a schema for prepared
graphs, so several are read: node and edge documents, edge collections of ArangoDB, and snapshots.
"""

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from gnn_trainer.graph.relation_times import TIME_FIELDS, end_of, start_of
from gnn_trainer.graph.relations import ALWAYS, OPEN_END, Relations, RelationsReport
from gnn_trainer.graph.symbol_names import SymbolNames

Document = Mapping[str, object]

MOST_VALUES = 16  # edge attributes that relations may add; the most frequent ones are kept
DEFAULT_KIND = "related"
_EXAMPLES = 5
_NAME_LETTERS = 64
_ENDS = (("_from", "_to"), ("source", "target"), ("from", "to"), ("leader", "follower"))
_BODIES = ("attributes", "data", "features")
_KINDS = ("relation", "relationship", "kind")
_NODE_TYPES = ("node", "vertex")
_EDGE_TYPES = ("edge", "link", "relation")
_LARGEST_WHOLE = 1 << 1000  # beyond it a whole number is no float
_SPOKEN_FOR = {"weight", "directed", "symbol", *_KINDS, *(end for ends in _ENDS for end in ends)}
_SPOKEN_FOR |= set(TIME_FIELDS)
_NODE_LISTS, _EDGE_LISTS = ("nodes", "vertices"), ("edges", "links", "relations")


class _Unusable(Exception):
    """Why one edge cannot be used; `example` shows what is meant."""

    def __init__(self, reason: str, example: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.example = example


@dataclass(frozen=True)
class _Edge:
    """An edge description, with what the snapshot around it says where it says nothing."""

    document: Document
    nodes: Sequence[object]  # of its snapshot, which edges may count through
    valid_from_ms: int
    valid_to_ms: int


@dataclass(frozen=True)
class _Row:
    leader: str
    follower: str
    valid_from_ms: int
    valid_to_ms: int
    values: dict[str, float]


@dataclass
class _Tally:
    """What was seen and what was left out, on the way."""

    documents: int = 0
    nodes: int = 0
    edges: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    ignored_values: Counter[str] = field(default_factory=Counter)
    examples: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def ignore(self, reason: str, example: str = "") -> None:
        self.ignored[reason] += 1
        shown = self.examples.get(reason, ())
        if example and example not in shown and len(shown) < _EXAMPLES:
            self.examples[reason] = (*shown, example[:_NAME_LETTERS])


def read_relations(
    documents: Iterable[object],
    *,
    source: str,
    symbols: Sequence[str],
    start_ms: int,
    end_ms: int,
) -> Relations:
    """Relations between `symbols` that hold at some time in start_ms..end_ms, and the report."""
    tally = _Tally()
    names = SymbolNames(symbols)
    edges = list(_sorted_out(documents, names, tally))
    rows = [row for edge in edges for row in _rows_of(edge, names, tally, (start_ms, end_ms))]
    rows.sort(key=lambda row: row.valid_from_ms)  # stable: of equal ones the later document holds
    rows, kept = _most_frequent_values(rows, tally)
    rows = _ended_by_successors(rows, tally)
    return _relations(rows, kept, source, tally)


def _sorted_out(documents: Iterable[object], names: SymbolNames, tally: _Tally) -> Iterator[_Edge]:
    """The edges among the documents; nodes teach `names`, snapshots are taken apart at the end."""
    snapshots: list[tuple[int, Document]] = []
    for document in documents:
        tally.documents += 1
        if not isinstance(document, Mapping):
            tally.ignore("not an object", repr(document))
        elif _lists_in(document, _EDGE_LISTS) is not None:
            try:
                snapshots.append((start_of(document), document))
            except ValueError as exc:
                tally.ignore("snapshot with a time that cannot be read", str(exc))
        else:
            yield from _edge_or_node(document, names, tally)
    snapshots.sort(key=lambda item: item[0])
    times = [*sorted({time_ms for time_ms, _ in snapshots}), OPEN_END]
    following = dict(itertools.pairwise(times))
    for time_ms, document in snapshots:
        nodes = _lists_in(document, _NODE_LISTS) or ()
        for node in nodes:
            _learn_node(node, names, tally)
        for edge in _lists_in(document, _EDGE_LISTS) or ():
            tally.edges += 1
            if isinstance(edge, Mapping):
                yield _Edge(edge, nodes, time_ms, following[time_ms])
            else:
                tally.ignore("not an object", repr(edge))


def _lists_in(document: Document, keys: Sequence[str]) -> Sequence[object] | None:
    for key in keys:
        value = document.get(key)
        if isinstance(value, list | tuple):
            return value
    return None


def _edge_or_node(document: Document, names: SymbolNames, tally: _Tally) -> Iterator[_Edge]:
    kind = document.get("type")
    if kind in _EDGE_TYPES or (kind not in _NODE_TYPES and _ends_of(document) is not None):
        tally.edges += 1
        yield _Edge(document, (), ALWAYS, OPEN_END)
    elif kind in _NODE_TYPES or _is_node_like(document):
        _learn_node(document, names, tally)
    else:
        tally.ignore("neither node nor edge", str(document.get("_key", "")))


def _is_node_like(document: Document) -> bool:
    """Says something of a symbol, and is no candle of it."""
    described = any(isinstance(document.get(body), Mapping) for body in _BODIES)
    return described or ("symbol" in document and "close" not in document)


def _learn_node(node: object, names: SymbolNames, tally: _Tally) -> None:
    """Remember which symbol a node stands for. Its values are no features: they have no dates."""
    tally.nodes += 1
    if isinstance(node, str):
        node = {"_key": node}
    if not isinstance(node, Mapping):
        tally.ignore("not an object", repr(node))
        return
    label = _node_label(node)
    if names.learn(_node_keys(node), label) is None:
        tally.ignore("node of a symbol that is not in this market", label)
    for name, value in _body_of(node).items():
        text = "" if _finite(value) is not None else ", and not a finite number"
        tally.ignored_values[f"node value {_short(name)!r}: nodes only name symbols{text}"] += 1


def _node_label(node: Document) -> str:
    body = _body_of(node)
    for place, key in ((node, "symbol"), (body, "symbol"), (node, "_key"), (node, "id")):
        value = place.get(key)
        if isinstance(value, str) and value:
            return value
    return str(node.get("name", ""))


def _node_keys(node: Document) -> list[str]:
    keys = (node.get(key) for key in ("_key", "_id", "id", "key", "name", "symbol"))
    return [str(key) for key in keys if isinstance(key, str | int)]


def _rows_of(edge: _Edge, names: SymbolNames, tally: _Tally, span: tuple[int, int]) -> list[_Row]:
    try:
        return _rows_or_reason(edge, names, tally, span)
    except _Unusable as exc:
        tally.ignore(exc.reason, exc.example)
        return []


def _rows_or_reason(
    edge: _Edge, names: SymbolNames, tally: _Tally, span: tuple[int, int]
) -> list[_Row]:
    leader, follower = _symbols_of(edge, names)
    valid_from, valid_to = _times_of(edge)
    if valid_to <= span[0] or valid_from >= span[1]:
        raise _Unusable("valid only outside the bars of this run", f"{leader} -> {follower}")
    values = _values_of(edge.document, tally)
    row = _Row(leader, follower, valid_from, valid_to, values)
    if edge.document.get("directed", _body_of(edge.document).get("directed")) is False:
        return [row, _Row(follower, leader, valid_from, valid_to, values)]
    return [row]


def _symbols_of(edge: _Edge, names: SymbolNames) -> tuple[str, str]:
    ends = _ends_of(edge.document)
    if ends is None:
        raise _Unusable("edge without two ends", str(edge.document.get("_key", "")))
    leader, follower = (_symbol_at(end, edge.nodes, names) for end in ends)
    if leader == follower:
        raise _Unusable("edge from a symbol to itself", leader)
    return leader, follower


def _ends_of(document: Document) -> tuple[object, object] | None:
    for place in (document, _body_of(document)):
        for first, second in _ENDS:
            if first in place and second in place:
                return place[first], place[second]
    return None


def _symbol_at(end: object, nodes: Sequence[object], names: SymbolNames) -> str:
    """An end is a name; in a snapshot it may also be the node's number or the node itself."""
    if isinstance(end, int) and not isinstance(end, bool) and 0 <= end < len(nodes):
        end = nodes[end]
    label = _node_label(end) if isinstance(end, Mapping) else str(end)
    symbol = names.find(label)
    if symbol is None:
        raise _Unusable("edge of a symbol that is not in this market", label)
    return symbol


def _times_of(edge: _Edge) -> tuple[int, int]:
    try:
        start, end = start_of(edge.document), end_of(edge.document)
        body = _body_of(edge.document)
        start = start_of(body) if start == ALWAYS else start
        end = end_of(body) if end == OPEN_END else end
    except ValueError as exc:
        raise _Unusable("edge with a date that cannot be read", str(exc)) from exc
    if end <= start:
        raise _Unusable("edge that ends before it begins", str(edge.document.get("_key", "")))
    start = edge.valid_from_ms if start == ALWAYS else start
    end = edge.valid_to_ms if end == OPEN_END else end
    if end <= start:
        raise _Unusable("edge that ends before its snapshot", str(edge.document.get("_key", "")))
    return start, end


def _values_of(document: Document, tally: _Tally) -> dict[str, float]:
    """`relation:<kind>` -> weight, and `relation:<kind>.<name>` -> each further number."""
    name_of_kind = f"relation:{_kind_of(document)}"
    body = _body_of(document)
    given = document.get("weight", body.get("weight", 1.0))
    weight = _finite(1.0 if given is None else given)
    if weight is None:
        raise _Unusable("edge whose weight is not a finite number", repr(given))
    values = {name_of_kind: weight}
    for name, content in body.items():
        if name in _SPOKEN_FOR:
            continue
        number = _finite(content)
        if number is None:
            tally.ignored_values[f"edge value {_short(name)!r}: not a finite number"] += 1
        else:
            values[f"{name_of_kind}.{_short(name)}"] = number
    return values


def _kind_of(document: Document) -> str:
    body = _body_of(document)
    told = (place.get(key) for place in (document, body) for key in _KINDS)
    named = [kind for kind in told if isinstance(kind, str) and kind]
    kind = document.get("type")
    if isinstance(kind, str) and kind not in _EDGE_TYPES:
        named.append(kind)
    return _short(named[0]) if named else DEFAULT_KIND


def _body_of(document: Document) -> Document:
    for key in _BODIES:
        body = document.get(key)
        if isinstance(body, Mapping):
            return body
    return {}


def _finite(value: object) -> float | None:
    """Numbers only: text that looks like one is a mistake upstream, and so is a truth value."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int):
        return float(value) if abs(value) < _LARGEST_WHOLE else None
    return value if math.isfinite(value) else None


def _short(name: object) -> str:
    return str(name)[:_NAME_LETTERS]


def _most_frequent_values(rows: list[_Row], tally: _Tally) -> tuple[list[_Row], tuple[str, ...]]:
    """Every name is an edge attribute the network learns weights for, so there is a limit."""
    count = Counter(name for row in rows for name in row.values)
    names = sorted(count, key=lambda name: (-count[name], name))
    kept, dropped = sorted(names[:MOST_VALUES]), names[MOST_VALUES:]
    for name in dropped:
        tally.ignored_values[f"{name}: beyond the {MOST_VALUES} most frequent"] += count[name]
    if not dropped:
        return rows, tuple(kept)
    left = []
    for row in rows:
        values = {name: value for name, value in row.values.items() if name in kept}
        if values:
            left.append(replace(row, values=values))
        else:
            tally.ignore(f"edge with none of the {MOST_VALUES} most frequent values")
    return left, tuple(kept)


def _ended_by_successors(rows: list[_Row], tally: _Tally) -> list[_Row]:
    """A later description of the same edge with the same values takes the place of the earlier.

    So that a weight told anew every hour is one edge at a time, not a pile of them.
    """
    newest: dict[tuple[str, str, tuple[str, ...]], int] = {}
    ended = list(rows)
    for index, row in enumerate(rows):
        key = row.leader, row.follower, tuple(row.values)
        before = newest.get(key)
        newest[key] = index
        if before is not None and ended[before].valid_to_ms <= row.valid_to_ms:
            end = min(ended[before].valid_to_ms, row.valid_from_ms)
            ended[before] = replace(ended[before], valid_to_ms=end)
    left = [row for row in ended if row.valid_from_ms < row.valid_to_ms]
    for row in ended:
        if row.valid_from_ms >= row.valid_to_ms:
            tally.ignore("edge described again", f"{row.leader} -> {row.follower}")
    return left


def _relations(rows: list[_Row], names: tuple[str, ...], source: str, tally: _Tally) -> Relations:
    symbols = tuple(sorted({symbol for row in rows for symbol in (row.leader, row.follower)}))
    place = {symbol: index for index, symbol in enumerate(symbols)}
    column = {name: index for index, name in enumerate(names)}
    value_MA = np.full((len(rows), len(names)), np.nan)
    for index, row in enumerate(rows):
        for name, value in row.values.items():
            value_MA[index, column[name]] = value
    known = np.isfinite(value_MA).sum(axis=0).tolist()
    report = RelationsReport(
        source=source,
        documents=tally.documents,
        nodes=tally.nodes,
        edges=tally.edges,
        used=len(rows),
        static=sum(row.valid_from_ms == ALWAYS for row in rows),
        values=dict(zip(names, known, strict=True)),
        ignored=dict(sorted(tally.ignored.items())),
        ignored_values=dict(sorted(tally.ignored_values.items())),
        examples=dict(sorted(tally.examples.items())),
    )
    return Relations(
        names=names,
        symbols=symbols,
        leader_M=np.array([place[row.leader] for row in rows], np.int32),
        follower_M=np.array([place[row.follower] for row in rows], np.int32),
        valid_from_M=np.array([row.valid_from_ms for row in rows], np.int64),
        valid_to_M=np.array([row.valid_to_ms for row in rows], np.int64),
        value_MA=value_MA,
        report=report,
    )
