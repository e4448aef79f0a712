"""Save on stop: the best model so far becomes a version that is `interrupted`, never promoted."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, TypeVar

from prefect.exceptions import TerminationSignal

from flows.artifacts import show_epochs, show_model
from flows.delivering import publish_interrupted
from flows.models import best_in_checkpoint, bundle_of
from flows.references import Features, Graph, Model, Published
from flows.run import Reference, Run
from flows.watch import comes_again, signal_source
from gnn_trainer.errors import GnnTrainerError, StopRequested

if TYPE_CHECKING:
    from gnn_trainer.artifact.bundle import Bundle

logger = logging.getLogger("gnn_trainer.stopping")

AnyReference = TypeVar("AnyReference", bound=Reference)


@contextmanager
def keeping_best(run: Run) -> Iterator[None]:
    """When the run is stopped in this block, publish what it has, then tell that it ended.

    A run that goes on elsewhere keeps its checkpoint and says nothing.
    """
    try:
        yield
    except (StopRequested, TerminationSignal):
        session = run.session
        session.stop.request(signal_source())
        session.comes_again = comes_again()
        if not session.comes_again:
            _end(run)
        raise


def _end(run: Run) -> None:
    reporter = run.session.reporter
    stopped = f"stopped by {run.session.stop.source}"
    try:
        published = _keep_best(run)
    except GnnTrainerError as exc:
        logger.warning("the best model so far was not published: %s", exc)
        reporter.interrupted(f"{stopped}; {exc}")
        return
    if published is None:
        reporter.interrupted(f"{stopped}; there was no model yet")
    else:
        message = f"{stopped}; the best model so far is version {published.version}"
        logger.info(message)
        reporter.interrupted(message, **run.whereabouts(published))


def _keep_best(run: Run) -> Published | None:
    if published := _product(run, Published):
        return published  # the stop came too late for that
    features, bundle = _product(run, Features), _best(run)
    if features is None or bundle is None:
        return None
    show_epochs(run.config.model_name, [asdict(epoch) for epoch in bundle.model.history])
    published = publish_interrupted(run, features, bundle)
    show_model(run.config.model_name, published)
    return published


def _best(run: Run) -> "Bundle | None":
    if model := _product(run, Model):
        return bundle_of(run, model)
    graph = _product(run, Graph)
    return None if graph is None else best_in_checkpoint(run, graph)


def _product(run: Run, kind: type[AnyReference]) -> AnyReference | None:
    product = run.products.get(kind)
    return product if isinstance(product, kind) else None
