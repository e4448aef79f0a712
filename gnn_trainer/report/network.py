"""The picture of a graph: who leads whom, and how dense and steady it is."""

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from gnn_trainer.evaluation.exhibits import Portrait
from gnn_trainer.report.style import INK, MAIN, OTHER, WIDTH, time_axis, times


def graph(portrait: Portrait) -> Figure:
    """A ring of the symbols in the heaviest edges; density and churn beside it."""
    figure = Figure(figsize=(WIDTH, 4.8), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=(1.35, 1.0))
    _ring(figure.add_subplot(grid[:, 0]), portrait)
    density, churn = (figure.add_subplot(grid[row, 1]) for row in (0, 1))
    time_T = times(portrait.time_ms)
    density.plot(time_T, [100.0 * share for share in portrait.density], color=MAIN)
    density.set_title("density, % of possible edges")
    churn.plot(time_T[1:], [100.0 * share for share in portrait.churn[1:]], color=OTHER)
    churn.set_title("churn, % of edges new at a refresh")
    for panel in (density, churn):
        panel.set_ylim(bottom=0.0)
        time_axis(panel)
    return figure


def _ring(panel: Axes, portrait: Portrait) -> None:
    """Arrows run from leader to follower, the heavier the thicker; dots grow with followers."""
    present = {lead.leader for lead in portrait.leads} | {lead.follower for lead in portrait.leads}
    names = [name for name in portrait.followers if name in present]
    turn = 2.0 * math.pi / max(len(names), 1)
    place = {name: (math.sin(turn * i), math.cos(turn * i)) for i, name in enumerate(names)}
    heaviest = max(lead.weight for lead in portrait.leads)
    for lead in portrait.leads:
        size = lead.weight / heaviest if heaviest > 0.0 else 1.0
        arrow = FancyArrowPatch(
            place[lead.leader],
            place[lead.follower],
            connectionstyle="arc3,rad=0.15",
            arrowstyle="-|>",
            mutation_scale=5.0 + 6.0 * size,
            linewidth=0.4 + 1.8 * size,
            color=MAIN,
            alpha=0.25 + 0.65 * size,
            shrinkA=5.0,
            shrinkB=6.0,
        )
        panel.add_patch(arrow)
    most = max(portrait.followers.values(), default=0.0)
    for name, (x, y) in place.items():
        size = portrait.followers[name] / most if most > 0.0 else 0.0
        panel.scatter([x], [y], s=12.0 + 90.0 * size, color=OTHER, zorder=3)
        side = "center" if abs(x) < 0.2 else "left" if x > 0.0 else "right"
        panel.text(1.1 * x, 1.1 * y, name, ha=side, va="center", fontsize=8, color=INK)
    panel.set(xlim=(-1.6, 1.6), ylim=(-1.25, 1.25), aspect="equal")
    panel.axis("off")
    panel.set_title("leader to follower, test span; large dot: many followers")
