"""The edges of a chunk, each graph held once however many bars it is in force."""

from typing import NamedTuple

from torch import Tensor


class Edges(NamedTuple):
    """Incoming edges of N symbols at R refreshes, and which of them each of C bars has.

    What depends on edges alone is computed for R refreshes instead of C bars.
    """

    leader_RNk: Tensor  # int32, -1 where there is no edge
    attr_RNkE: Tensor  # 0 where there is no edge
    refresh_C: Tensor  # int64, rows of the other two, never falling

    def of_bars(self, value_RNk: Tensor) -> Tensor:
        """Something of the refreshes, [R, ...], for every bar, [C, ...]."""
        return value_RNk.index_select(0, self.refresh_C)
