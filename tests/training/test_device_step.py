"""A step asks its device nothing, brings it nothing, and looks the same every time.

The GPU is pretended: torch's fake tensors know their shape and type and nothing else, so whatever
needs a value, or a shape that depends on one, fails. The loops compiled for CPUs are left out.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.model import listening
from gnn_trainer.training.fit import _Session
from gnn_trainer.training.samples import shuffled_chunks
from gnn_trainer.training.team import Team
from tests.planted import planted_market, small_plan

PRODUCTS = ("aten.mm.", "aten.addmm.", "aten.addmm_.", "aten.bmm.")
FACTORIES = ("aten.empty.", "aten.zeros.", "aten.ones.", "aten.full.", "aten.arange", "aten.rand.")


Call = tuple[str, tuple[tuple[tuple[int, ...], torch.dtype], ...]]


class Apart(Team):
    """One process of a team that never meets the others."""

    def add_up(self, loss: Tensor, parameters: object) -> Tensor:
        return loss


class Recorder(TorchDispatchMode):
    """Writes down every operation, with shape and type of what it works on and makes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[Call] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = str(function)
        assert not name.startswith(FACTORIES) or kwargs.get("device"), f"{name} takes the host"
        made = function(*args, **kwargs)
        seen = (leaf for leaf in tree_leaves((args, kwargs, made)) if isinstance(leaf, Tensor))
        self.calls.append((name, tuple((tuple(part.shape), part.dtype) for part in seen)))
        return made


def with_books(graph: GraphSequence) -> GraphSequence:
    """Every other bar has an order book."""
    has_book = np.zeros((*graph.mask_TN.shape, 1), np.float32)
    has_book[::2] = 1.0
    book = np.where(has_book, np.random.default_rng(0).standard_normal(has_book.shape), np.nan)
    return replace(
        graph,
        feature_names=(*graph.feature_names, "has_book", "book_imbalance_5"),
        x_TNF=np.concatenate((graph.x_TNF, has_book, book), axis=-1).astype(np.float32),
    )


@pytest.fixture(scope="module")
def steps() -> list[list[Call]]:
    """The operations of each step of an epoch, the short chunks at both ends included, as one of
    two processes takes them."""
    market, plan = planted_market(strength=0.5, num_bars=700), small_plan()
    fit = plan.fit.model_copy(update={"precision": "bf16", "members": 1})
    rng, found = np.random.default_rng(0), []
    with pytest.MonkeyPatch.context() as patch, FakeTensorMode(allow_non_fake_inputs=True):
        patch.setattr(listening, "numba_is_there", lambda: False)
        patch.setattr("gnn_trainer.training.fit.wants_fixed_shapes", lambda device: True)
        patch.setattr(nn.Module, "to", lambda module, device: module)  # fakes cannot be moved
        graph, split = with_books(market.graph), market.split
        session = _Session(graph, split, replace(plan, fit=fit), lambda: False, Apart(1, 2))
        state = session.blank()
        session.hide_books.draw(rng)
        session.network.train()
        for name in ("from_numpy", "tensor", "as_tensor"):  # would bring something from the host
            patch.setattr(torch, name, None)
        for start, stop in shuffled_chunks(split.train_T, fit.batch_bars, rng):
            with Recorder() as recorder:
                session._step(state, start, stop)
            found.append(recorder.calls)
    return found


def test_all_steps_of_an_epoch_are_the_same_and_need_no_value(steps: list[list[Call]]) -> None:
    _, second, *others = steps  # the first one makes the optimiser's state
    assert len(others) > 4
    for other in others:
        assert other == second


def test_products_of_a_reduced_step_are_in_bfloat16_but_for_the_regressions(
    steps: list[list[Call]],
) -> None:
    products = [types for name, types in steps[1] if name.startswith(PRODUCTS)]
    in_fp32 = [types for types in products if types[0][1] == torch.float32]
    assert len(products) > 20
    assert len(in_fp32) == 5  # readings and outputs, their gradients, and that of what was heard
