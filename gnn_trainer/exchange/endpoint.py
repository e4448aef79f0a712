"""What an endpoint is: a weight by query, and an answer by venue and query."""

from collections.abc import Callable
from dataclasses import dataclass

from gnn_trainer.exchange.query import Query
from gnn_trainer.exchange.venue import Venue


@dataclass(frozen=True)
class Endpoint:
    """`answer` gives the JSON body or raises ApiError; a funding endpoint weighs nothing."""

    answer: Callable[[Venue, Query], bytes]
    weight: Callable[[Query], int]
    is_funding: bool = False


def flat(weight: int) -> Callable[[Query], int]:
    return lambda query: weight


def one_or_all(one: int, everything: int) -> Callable[[Query], int]:
    """Weight of an endpoint that answers for all symbols when none is given."""
    return lambda query: one if query.optional("symbol") else everything


def by_limit(default: int, *steps: tuple[int, int]) -> Callable[[Query], int]:
    """Weight of the first step (largest limit, weight) that holds the limit asked for.

    A limit that is no number weighs as the smallest; the endpoint refuses it anyway.
    """

    def weight(query: Query) -> int:
        asked = query.values.get("limit", str(default))
        limit = int(asked) if asked.isdecimal() else 0
        return next((weight for most, weight in steps if limit <= most), steps[-1][1])

    return weight
