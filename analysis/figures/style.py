"""Colors, axes, legends and file formats shared by all figures."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from analysis.files import write_atomic
from analysis.read.limits import Bound

TRIAL = "#8fa3b8"
FRONT = "#d1495b"
REFERENCE = "#1b4965"
GRID = "#d9dee3"
LIMIT = "#6b5b95"
PALETTE = ("#1b6ca8", "#d1495b", "#c98a1b", "#3a7d44", "#7a5195", "#4d4d4d")
Place = Literal["best", "upper right", "lower right", "lower left"]
CHARACTER = 0.075
"""Width of a character of an axis's name, in inches."""
DPI = 120
"""Resolution of PNG files, in dots per inch."""
_METADATA: dict[str, dict[str, str | None]] = {"svg": {"Date": None}}
"""Metadata by file format; without a date, the same figure gives the same file."""


def single(height: float = 4.4, width: float = 7.2) -> tuple[Figure, Axes]:
    """Return a figure with one panel; sizes are in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    style(axes)
    return figure, axes


def style(axes: Axes) -> None:
    """Apply the grid and spines shared by all figures."""
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def name_vertical(axes: Axes, text: str) -> None:
    """Name the vertical axis, on several lines if the panel is too low for one."""
    inches = axes.bbox.height / axes.figure.dpi
    axes.set_ylabel(textwrap.fill(text, max(12, round(inches / CHARACTER)), break_long_words=False))


def limit_lines(
    axes: Axes, bound: Bound | None, factor: float = 1.0, way: Literal["x", "y"] = "x"
) -> None:
    """Draw the limits of a search as dashed lines.

    Args:
        axes: Axes to draw on.
        bound: Lower and upper end; None for no limit.
        factor: Factor from the unit of the bound to that of the axis.
        way: Axis that shows the limited quantity.
    """
    line = axes.axvline if way == "x" else axes.axhline
    ends = [] if bound is None else [end for end in bound if end is not None]
    for end in ends:
        label = None if "limit" in axes.get_legend_handles_labels()[1] else "limit"
        line(factor * end, color=LIMIT, linewidth=1.1, linestyle=(0, (4, 3)), label=label)


def without_rest(grid: np.ndarray, count: int) -> None:
    """Remove the panels of a grid that hold nothing; those above them number their axes.

    Args:
        grid: Panels, shape (rows, columns), filled row by row.
        count: Number of panels that hold something.
    """
    columns = grid.shape[1]
    for axes in grid.ravel()[count:]:
        axes.remove()
    for axes in grid.ravel()[max(0, count - columns) : count]:
        axes.tick_params(labelbottom=True)


def entry(name: str) -> str:
    """Return a name as the label of a legend, which would leave out names that begin with ``_``."""
    return f" {name}" if name.startswith("_") else name


def legend(axes: Axes, place: Place = "best") -> None:
    """Add a legend in the style shared by all figures."""
    axes.legend(fontsize=8, loc=place, framealpha=0.85, edgecolor=GRID)


def colours(names: Sequence[str]) -> dict[str, str]:
    """Return a color for each name; colors repeat after six names."""
    return {name: PALETTE[number % len(PALETTE)] for number, name in enumerate(names)}


def legible(places: np.ndarray, spans: Sequence[float], size: tuple[float, float]) -> list[int]:
    """Return which labels can be written without overlap; earlier labels take precedence.

    Args:
        places: Places of the labels, shape (labels, 2).
        spans: Ranges of both axes, in their units.
        size: Width and height of a label, as shares of the axes.

    Returns:
        Positions of the labels to write, ascending.
    """
    scaled = places / np.maximum(np.asarray(spans, dtype=float), 1e-9)
    chosen: list[int] = []
    for number, place in enumerate(scaled):
        distance = np.abs(scaled[chosen] - place)
        if not (distance < size).all(axis=1).any():
            chosen.append(number)
    return chosen


def save(figure: Figure, path: Path, kinds: tuple[str, ...] = ("svg", "png")) -> list[Path]:
    """Write a figure in several formats.

    Names are drawn as they are: a ``$`` in them begins no formula.

    Args:
        figure: Figure to write.
        path: File name without an ending; each format's ending is appended.
        kinds: File formats, which are also the endings.

    Returns:
        Paths of the written files, one per format.
    """
    written = []
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    for kind in kinds:
        target = path.with_name(f"{path.name}.{kind}")
        buffer = io.BytesIO()
        # The same element ids every time; labels of ticks are made while a figure is drawn.
        with mpl.rc_context({"svg.hashsalt": path.name, "text.parse_math": False}):
            figure.savefig(buffer, format=kind, dpi=DPI, metadata=_METADATA.get(kind))
        figure.set_layout_engine("none")  # the first format has computed the layout
        write_atomic(target, buffer.getvalue())
        written.append(target)
    return written


def save_all(figures: Mapping[str, Figure], folder: Path) -> list[Path]:
    """Write figures by file name into a folder, creating it if needed; return all paths."""
    folder.mkdir(parents=True, exist_ok=True)
    return [path for name, figure in figures.items() for path in save(figure, folder / name)]
