"""Relations: edges somebody else prepared, joined into the graph beside the measured ones.

A relation says "leader -> follower" with named values, from one time to another. It is used at a
bar only if the whole bar lies inside [valid_from, valid_to). Measured edges stay exactly what they
are without relations: a relation between symbols that are also linked by measurement lends its
values to that edge, any other takes one of `GraphConfig.relation_neighbours` places of its own.

Shape letters besides those of the market: M relations, A values per relation, r places.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gnn_trainer.market.frame import FloatArray, IntArray

Indices = npt.NDArray[np.int32]

ALWAYS = np.iinfo(np.int64).min  # valid_from of a relation without one
OPEN_END = np.iinfo(np.int64).max  # valid_to of a relation without one
STATIC = "static (survivorship risk)"
VALUE_CLIP = 4.0  # in asinh of the given value: about 27


@dataclass(frozen=True)
class RelationsReport:
    """What was found at the source, what of it is used, and what is not, with counts."""

    source: str
    documents: int
    nodes: int  # node descriptions, in documents of their own or inside snapshots
    edges: int  # edge descriptions likewise
    used: int  # relations in the graph; one given without direction counts twice
    static: int  # of the used: without valid_from, so known to nobody at the time
    values: dict[str, int]  # edge attribute -> relations that have it
    ignored: dict[str, int]  # reason -> documents, nodes or edges
    ignored_values: dict[str, int]  # field and reason -> values left out of what is used
    examples: dict[str, tuple[str, ...]]  # reason -> the first few it applies to

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For people: one line on what is used, one per flag or reason."""
        told = [
            f"relations of {self.source}: {self.used} used, out of {self.documents} documents with "
            f"{self.nodes} nodes and {self.edges} edges"
        ]
        if self.static:
            told.append(f"{self.static} of {self.used} relations are {STATIC}: no valid_from")
        for reason, count in self.ignored.items():
            shown = ", ".join(self.examples.get(reason, ()))
            told.append(f"ignored {count}: {reason}" + (f" ({shown})" if shown else ""))
        told += [f"ignored {count} values: {what}" for what, count in self.ignored_values.items()]
        return told


@dataclass(frozen=True)
class Relations:
    """M relations between named symbols, ordered so that of two that clash the later one holds."""

    names: tuple[str, ...]  # one edge attribute each
    symbols: tuple[str, ...]
    leader_M: Indices  # into symbols
    follower_M: Indices
    valid_from_M: IntArray  # unix ms; ALWAYS where not given
    valid_to_M: IntArray  # unix ms, exclusive; OPEN_END where not given
    value_MA: FloatArray  # as given; NaN where a relation has no such value
    report: RelationsReport

    @property
    def count(self) -> int:
        return len(self.leader_M)

    def valued_as(self, names: tuple[str, ...]) -> "Relations":
        """The same relations with exactly these values, in this order; unknown ones are NaN."""
        value_MA = np.full((self.count, len(names)), np.nan)
        for column, name in enumerate(names):
            if name in self.names:
                value_MA[:, column] = self.value_MA[:, self.names.index(name)]
        return replace(self, names=names, value_MA=value_MA)


@dataclass(frozen=True)
class PlacedRelations:
    """Relations on the bars and symbols of one market: in force at first <= bar < end."""

    names: tuple[str, ...]
    num_symbols: int
    leader_M: IntArray
    follower_M: IntArray
    first_bar_M: IntArray
    end_bar_M: IntArray
    value_MA: npt.NDArray[np.float32]  # asinh of what was given, clipped; NaN = no such value
    change_bars: IntArray  # ascending: all of first and end

    def changes(self, start: int, stop: int) -> list[int]:
        """Bars start < bar < stop at which relations come into force or end."""
        bars = self.change_bars
        return [int(bar) for bar in bars[(bars > start) & (bars < stop)]]

    def at(self, bar: int) -> npt.NDArray[np.float32]:
        """Values in force, [follower, leader, A]; 0 where there is no relation."""
        value_NNA = np.zeros((self.num_symbols, self.num_symbols, len(self.names)), np.float32)
        rows = np.flatnonzero((self.first_bar_M <= bar) & (bar < self.end_bar_M))
        row, column = np.nonzero(np.isfinite(self.value_MA[rows]))
        row = rows[row]
        # Of several assignments to one place numpy keeps the last: the order of the relations.
        value_NNA[self.follower_M[row], self.leader_M[row], column] = self.value_MA[row, column]
        return value_NNA


def place_relations(
    relations: Relations, symbols: tuple[str, ...], open_time_T: IntArray, interval_ms: int
) -> PlacedRelations:
    """Find each relation's symbols and bars; relations of symbols that are not there drop out."""
    place = {symbol: index for index, symbol in enumerate(symbols)}
    index_of = np.array([place.get(symbol, -1) for symbol in relations.symbols], np.int64)
    leader, follower = index_of[relations.leader_M], index_of[relations.follower_M]
    first = np.searchsorted(open_time_T, relations.valid_from_M, side="left")
    end = np.searchsorted(open_time_T + interval_ms, relations.valid_to_M, side="right")
    kept = (leader >= 0) & (follower >= 0) & (first < end)
    values = np.clip(np.arcsinh(relations.value_MA[kept]), -VALUE_CLIP, VALUE_CLIP)
    return PlacedRelations(
        names=relations.names,
        num_symbols=len(symbols),
        leader_M=leader[kept],
        follower_M=follower[kept],
        first_bar_M=first[kept],
        end_bar_M=end[kept],
        value_MA=values.astype(np.float32),
        change_bars=np.unique(np.concatenate((first[kept], end[kept]))),
    )


def add_leaders(leader_Nk: Indices, value_NNA: npt.NDArray[np.float32], places: int) -> Indices:
    """Append up to `places` leaders by relation to each row of measured ones, strongest first.

    A leader that is there by measurement already is not repeated. -1 = none.
    """
    strength_NN = np.abs(value_NNA).max(axis=-1, initial=0.0)
    follower, slot = np.nonzero(leader_Nk >= 0)
    strength_NN[follower, leader_Nk[follower, slot]] = 0.0
    order = np.argsort(-strength_NN, axis=1, kind="stable")[:, :places].astype(np.int32)
    chosen = np.take_along_axis(strength_NN, order, axis=1)
    return np.concatenate((leader_Nk, np.where(chosen > 0.0, order, np.int32(-1))), axis=1)
