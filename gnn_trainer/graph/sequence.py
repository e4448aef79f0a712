"""GraphSequence: the market as a sequence of graphs, ready to train on."""

import itertools
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gnn_trainer.market.frame import BoolArray, FloatArray, IntArray
from gnn_trainer.market.labels import Labels

if TYPE_CHECKING:
    from torch_geometric.data import Data


@dataclass(frozen=True)
class GraphSequence:
    """Features, labels and edges of T bars and N symbols.

    Edges are redrawn at R refreshes and stay in force until the next one: `refresh_T[t]` names
    the graph of bar t, drawn from bars <= t, or is -1 before the first. Features are unscaled.
    """

    symbols: tuple[str, ...]
    interval_ms: int
    horizon: int  # bars
    feature_names: tuple[str, ...]
    edge_names: tuple[str, ...]
    edge_readings: tuple[str, ...]  # the feature each edge attribute was measured with
    open_time_T: IntArray  # unix ms
    x_TNF: npt.NDArray[np.float32]  # NaN where a feature is not available
    mask_TN: BoolArray  # the symbol can be scored at this bar
    ret_TN: FloatArray  # label: log return open(t+1) -> open(t+1+horizon); NaN unknown
    close_ret_TN: FloatArray  # close(t) -> close(t+horizon)
    late_ret_TN: FloatArray  # the label one bar late
    past_ret_TN: FloatArray  # log return of the bar just closed
    sigma_TN: FloatArray  # trailing volatility of a `horizon`-bar return
    end_time_T: IntArray  # when the label of bar t is known, unix ms
    leader_RNk: npt.NDArray[np.int32]  # incoming edges, -1 = none
    edge_attr_RNkE: npt.NDArray[np.float32]
    refresh_T: IntArray

    @property
    def num_bars(self) -> int:
        return len(self.open_time_T)

    @property
    def num_symbols(self) -> int:
        return len(self.symbols)

    @property
    def num_edge_attrs(self) -> int:
        return len(self.edge_names)

    @property
    def labels(self) -> Labels:
        return Labels(
            horizon=self.horizon,
            ret_TN=self.ret_TN,
            close_ret_TN=self.close_ret_TN,
            late_ret_TN=self.late_ret_TN,
            sigma_TN=self.sigma_TN,
            end_time_T=self.end_time_T,
        )

    def first(self, num_bars: int) -> "GraphSequence":
        """The first bars alone and the edges drawn until then: what an earlier run had."""
        rows = {
            field.name: getattr(self, field.name)[:num_bars]
            for field in fields(self)
            if field.name.split("_")[-1].startswith("T")
        }
        drawn = int(self.refresh_T[:num_bars].max(initial=-1)) + 1
        return replace(
            self,
            **rows,
            leader_RNk=self.leader_RNk[:drawn],
            edge_attr_RNkE=self.edge_attr_RNkE[:drawn],
        )

    def refreshes_of(self, start: int, stop: int) -> IntArray:
        """The refresh in force at bars start..stop-1, -1 before the first."""
        return self.refresh_T[start:stop]

    def edges_of(
        self, start: int, stop: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Edges of bars start..stop-1: leader_CNk (-1 = none) and attr_CNkE."""
        refresh = self.refreshes_of(start, stop)
        shape = (stop - start, *self.leader_RNk.shape[1:])
        leader = np.full(shape, -1, dtype=np.int64)
        attr = np.zeros((*shape, self.num_edge_attrs), dtype=np.float32)
        drawn = refresh >= 0
        leader[drawn] = self.leader_RNk[refresh[drawn]]
        attr[drawn] = self.edge_attr_RNkE[refresh[drawn]]
        return leader, attr

    def snapshot(self, i: int) -> "Data":
        """Bar i as torch_geometric Data; edges run leader -> follower.

        x [N, F] (NaN where not available), edge_index [2, edges], edge_attr [edges, E], y [N]
        log return, mask [N], time (unix ms of the bar's open), symbols.
        """
        import torch
        from torch_geometric.data import Data

        leader, attr = (edges[0] for edges in self.edges_of(i, i + 1))
        follower, slot = np.nonzero(leader >= 0)
        return Data(
            x=torch.from_numpy(self.x_TNF[i].copy()),
            edge_index=torch.from_numpy(np.stack((leader[follower, slot], follower))),
            edge_attr=torch.from_numpy(attr[follower, slot]),
            y=torch.from_numpy(self.ret_TN[i].astype(np.float32)),
            mask=torch.from_numpy(self.mask_TN[i].copy()),
            time=int(self.open_time_T[i]),
            symbols=list(self.symbols),
        )

    def density(self) -> float:
        """Share of possible directed edges in use, mean over the refreshes."""
        pairs = self.num_symbols * (self.num_symbols - 1)
        return float((self.leader_RNk >= 0).sum(axis=(1, 2)).mean() / pairs) if pairs else 0.0

    def churn(self) -> float:
        """Share of edges that were not there at the refresh before, mean over the refreshes."""
        drawn = [_edge_set(leader_Nk) for leader_Nk in self.leader_RNk]
        new = [len(now - before) / len(now) for before, now in itertools.pairwise(drawn) if now]
        return float(np.mean(new)) if new else 0.0


def _edge_set(leader_Nk: npt.NDArray[np.int32]) -> set[tuple[int, int]]:
    follower, slot = np.nonzero(leader_Nk >= 0)
    return set(zip(leader_Nk[follower, slot].tolist(), follower.tolist(), strict=True))
