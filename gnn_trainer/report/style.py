"""How pictures look, and how a figure becomes a piece of the page.

Colours are those of the page, light or dark: a figure is drawn in stand-ins, which become CSS
variables in its SVG.
"""

import io
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

INK: Final = "#1a1b01"
MUTED: Final = "#1a1b02"
GRID: Final = "#1a1b03"
MAIN: Final = "#1a1b04"  # the model
OTHER: Final = "#1a1b05"  # what it is compared with
PAPER: Final = "#1a1b06"
_VARIABLES = {
    INK: "ink",
    MUTED: "muted",
    GRID: "line",
    MAIN: "main",
    OTHER: "other",
    PAPER: "paper",
}
_LOOK: dict[str, Any] = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "report",  # the same figure gives the same bytes
    "text.parse_math": False,  # a symbol may have a dollar sign
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
}
_NO_METADATA = {"Creator": None, "Date": None, "Format": None, "Type": None}
WIDTH = 9.2  # inches


def svg(name: str, draw: Callable[[], Figure]) -> str:
    """The <svg> element of a figure, its ids unique on a page with other names."""
    buffer = io.StringIO()
    with style.context(_LOOK), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")  # browsers have it
        draw().savefig(buffer, format="svg", metadata=_NO_METADATA)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text)  # HTML knows them
    text = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{name}-", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var(--{variable})")
    return text


def new_figure(height: float, columns: int = 1, **settings: Any) -> tuple[Figure, list[Axes]]:
    """A figure as wide as the page with its panels side by side."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    panels = figure.subplots(1, columns, squeeze=False, **settings)
    return figure, list(panels[0])


def times(time_ms: Sequence[int]) -> np.ndarray:
    """Unix ms as matplotlib reads them."""
    return np.array(time_ms, "datetime64[ms]")


def time_axis(panel: Axes) -> None:
    """Few and short labels."""
    locator = AutoDateLocator(minticks=3, maxticks=7)
    panel.xaxis.set_major_locator(locator)
    panel.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def zero_line(panel: Axes, *, upright: bool = False) -> None:
    (panel.axvline if upright else panel.axhline)(0.0, color=INK, linewidth=0.8)
