"""Skill at full size: planted markets of several seeds, pure noise, and recorded markets.

    python -m benchmarks.skill [--recorded FOLDER]

Each row is one whole run of the flow from nothing. For planted markets the share of the oracle's
RankIC counts (at least 70 %), for noise that the interval contains zero.
"""

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.run_flow import Measured, run_flow

SEEDS = (7, 1, 2)
COLUMNS = ("market", "RankIC", "95 % interval", "no graph", "ridge", "oracle", "share", "promoted")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--recorded", type=Path, help="folder of recorded candle sets to add")
    recorded = parser.parse_args().recorded
    table = Table(*COLUMNS, box=None)
    for seed in SEEDS:
        table.add_row(*row(f"planted, seed {seed}", run_flow(SIMULATED_SEED=str(seed))))
    table.add_row(*row("pure noise", run_flow(SIMULATED_STRENGTH="0")))
    if recorded is not None:
        table.add_row(*row("um_15m_24_180d", replay(recorded / "um_15m_24_180d", "15m")))
    Console(width=120).print(table)


def replay(folder: Path, interval: str) -> Measured:
    """The recorded set through the same command."""
    return run_flow(
        "--symbols=top:24",
        f"--interval={interval}",
        "--time-range=180d",
        SIMULATED_REPLAY=str(folder / "klines.parquet"),
    )


def row(market: str, measured: Measured) -> tuple[str, ...]:
    """One line of the table."""
    scores = measured.metrics["metrics"]
    model = scores["gnn"]["rank_ic"]
    oracle = scores.get("oracle", {}).get("rank_ic", {}).get("mean", 0.0)
    return (
        market,
        f"{model['mean']:.4f}",
        f"{model['low']:.4f} .. {model['high']:.4f}",
        f"{scores['no graph']['rank_ic']['mean']:.4f}",
        f"{scores['ridge']['rank_ic']['mean']:.4f}",
        f"{oracle:.4f}" if oracle else "-",
        f"{model['mean'] / oracle:.0%}" if oracle else "-",
        str(measured.metrics["verdict"]["promoted"]),
    )


if __name__ == "__main__":
    main()
