"""relations.json: the prepared relations a model was trained with, so that it can predict alone."""

from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, FiniteFloat, model_validator

from gnn_trainer.graph.relations import ALWAYS, OPEN_END, Relations, RelationsReport

RELATIONS = "relations.json"


class RelationsRecord(BaseModel):
    """Relations column by column; times are unix ms, null where open; a null value is absent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    names: tuple[str, ...]
    symbols: tuple[str, ...]
    leader: tuple[int, ...]
    follower: tuple[int, ...]
    valid_from: tuple[int | None, ...]
    valid_to: tuple[int | None, ...]
    values: tuple[tuple[FiniteFloat | None, ...], ...]
    report: RelationsReport

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        columns = (self.leader, self.follower, self.valid_from, self.valid_to, self.values)
        places = range(len(self.symbols))
        if len({len(column) for column in columns}) != 1:
            raise ValueError("the columns differ in length")
        if not {*self.leader, *self.follower} <= set(places):
            raise ValueError("a relation names a symbol that is not listed")
        if any(len(row) != len(self.names) for row in self.values):
            raise ValueError("a relation has not one value per name")
        return self

    @classmethod
    def of(cls, relations: Relations) -> Self:
        starts, ends = relations.valid_from_M.tolist(), relations.valid_to_M.tolist()
        return cls(
            names=relations.names,
            symbols=relations.symbols,
            leader=tuple(relations.leader_M.tolist()),
            follower=tuple(relations.follower_M.tolist()),
            valid_from=tuple(None if start == ALWAYS else start for start in starts),
            valid_to=tuple(None if end == OPEN_END else end for end in ends),
            values=tuple(
                tuple(value if np.isfinite(value) else None for value in row)
                for row in relations.value_MA.tolist()
            ),
            report=relations.report,
        )

    def relations(self) -> Relations:
        values = [[np.nan if value is None else value for value in row] for row in self.values]
        starts = [ALWAYS if start is None else start for start in self.valid_from]
        ends = [OPEN_END if end is None else end for end in self.valid_to]
        return Relations(
            names=self.names,
            symbols=self.symbols,
            leader_M=np.array(self.leader, np.int32),
            follower_M=np.array(self.follower, np.int32),
            valid_from_M=np.array(starts, np.int64),
            valid_to_M=np.array(ends, np.int64),
            value_MA=np.array(values, np.float64).reshape(len(values), len(self.names)),
            report=self.report,
        )
