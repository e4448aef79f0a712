"""A small market served over HTTP, and runs of the flow on it as on Binance."""

import contextlib
import io
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_TASKS_REFRESH_CACHE, temporary_settings

from flows.references import Published
from flows.train import train
from gnn_trainer.config import TrainConfig
from gnn_trainer.exchange.process import RunningExchange

SMALL: dict[str, Any] = {
    "symbols": "top:5",
    "time_range": "16d",
    "epochs": 2,
    "model_name": "small",
    "features": {"short_window": 4, "medium_window": 12, "long_window": 24, "beta_window": 24},
    "direction": {"volatility_window": 24},
    "split": {"embargo_bars": 2},
    "graph": {"warmup_bars": 40, "half_life_bars": 100, "neighbours": 2},
    "model": {"hidden": 8, "heads": 2, "graph_layers": 1, "temporal_layers": 2},
    "fit": {"members": 1},
    "evaluation": {"placebos": ""},
}
ENDLESS = SMALL | {"epochs": 100_000, "fit": {"members": 1, "patience": 100_000}}
_STAGE = re.compile(r"^ (\w+) +(Completed|Cached) ", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """What a run said and did."""

    published: Published
    summary: str
    requests: dict[str, int]  # to the exchange, by path

    @property
    def states(self) -> dict[str, str]:
        """Prefect's word for how each task ended."""
        return dict(_STAGE.findall(self.summary))

    @property
    def worked(self) -> set[str]:
        """Tasks that were not answered from an earlier result."""
        return {name for name, state in self.states.items() if state != "Cached"}


@dataclass(frozen=True)
class Laboratory:
    """A small market served over HTTP, and a workspace."""

    exchange: RunningExchange
    workspace: Path

    @property
    def variables(self) -> dict[str, str]:
        """The environment of a run."""
        return {
            "MARKET_SOURCE": "binance",
            "BINANCE_FUTURES_URL": self.exchange.url,
            "WORKSPACE": str(self.workspace),
        }

    def train(self, *, fresh: bool = False, **changes: Any) -> Outcome:
        """Run the flow in this process, with some settings changed."""
        self.exchange.requests.clear()
        config = TrainConfig.model_validate(SMALL | changes)
        with (
            pytest.MonkeyPatch.context() as patch,
            temporary_settings({PREFECT_TASKS_REFRESH_CACHE: fresh}),
            contextlib.redirect_stdout(io.StringIO()) as printed,
        ):
            for name, value in self.variables.items():
                patch.setenv(name, value)
            published = train(config)
            assert isinstance(published, Published)
        return Outcome(published, printed.getvalue(), dict(self.exchange.requests.counts()))

    def keep(self) -> None:
        """Remember the workspace as it is."""
        shutil.copytree(self.workspace, self._kept)

    def restore(self) -> None:
        """Bring back the workspace that was kept, at the same path."""
        shutil.rmtree(self.workspace)
        shutil.copytree(self._kept, self.workspace)

    @property
    def _kept(self) -> Path:
        return self.workspace.with_name("kept")
