"""One fold of a walk-forward as a flow run of its own: deploy `flows/fold.py:fold`.

The walk tells the queue what becomes of it; a fold has no session and tells nobody.
"""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Cancelled

from flows.folds import OVER, FoldOrder, answer, settings_here
from flows.logs import arrange_logs
from flows.parcels import store_of
from flows.watch import following, obeying_prefect
from gnn_trainer.control import StopController
from gnn_trainer.errors import StopRequested


@flow
def fold(order: FoldOrder) -> State[Any] | None:
    """Put the answer to an order into the model store, where the walk looks for it.

    A walk that was evicted comes again and asks for the same fold, so that this is no end of it.
    """
    arrange_logs()
    stop = StopController()
    with obeying_prefect(stop), following(order.walk, stop, OVER):
        try:
            found = answer(order, stop)
        except StopRequested as exc:
            return Cancelled(message=str(exc))
    store_of(settings_here()).put_bytes(order.answer_key, found.model_dump_json().encode())
    return None
