"""Drawing. Figures are built without pyplot, so nothing global is touched."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.files import write_atomic
from analysis.read.limits import Bound
from analysis.statistics.fronts import Front
from analysis.units import score_unit

TRIAL = "#8fa3b8"
FRONT = "#d1495b"
REFERENCE = "#1b4965"
GRID = "#d9dee3"
LIMIT = "#6b5b95"
Place = Literal["best", "upper right", "lower right", "lower left"]
DPI = 120  # of PNGs
MANY = 1_000  # trials, from which on they are drawn smaller
PALETTE = ("#1b6ca8", "#d1495b", "#c98a1b", "#3a7d44", "#7a5195", "#4d4d4d")


def single(height: float = 4.4, width: float = 7.2) -> tuple[Figure, Axes]:
    """Return a figure of one panel, sizes in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    style(axes)
    return figure, axes


def style(axes: Axes) -> None:
    """Give axes the looks that all figures share."""
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def points(axes: Axes, xs: pd.Series, ys: pd.Series) -> None:
    """Draw trials; as pixels also in SVG where they are many, which would make a page slow."""
    many = len(xs) > MANY
    axes.scatter(
        xs, ys, s=8 if many else 22, color=TRIAL, label="trial", alpha=0.4 if many else 0.8,
        lw=0, rasterized=many,
    )  # fmt: skip


def limit_lines(
    axes: Axes, bound: Bound | None, factor: float = 1.0, way: Literal["x", "y"] = "x"
) -> None:
    """Draw the bounds that a search keeps on what an axis shows."""
    line = axes.axvline if way == "x" else axes.axhline
    ends = [] if bound is None else [end for end in bound if end is not None]
    for end in ends:
        label = None if "limit" in axes.get_legend_handles_labels()[1] else "limit"
        line(factor * end, color=LIMIT, linewidth=1.1, linestyle=(0, (4, 3)), label=label)


def legend(axes: Axes, place: Place = "best") -> None:
    """Add the legend that all figures share."""
    axes.legend(fontsize=8, loc=place, framealpha=0.85, edgecolor=GRID)


def colours(names: Sequence[str]) -> dict[str, str]:
    """Return a colour for every name; they repeat after six."""
    return {name: PALETTE[number % len(PALETTE)] for number, name in enumerate(names)}


def front_figure(
    trials: pd.DataFrame,
    references: pd.DataFrame,
    front: Front,
    label: str,
    limits: Mapping[str, Bound],
) -> Figure:
    """Draw scores over latency: all trials, the front as a staircase, references by name."""
    figure, axes = single()
    unit, factor = score_unit(label)
    points(axes, trials["latency_ms"], factor * trials["score"])
    rows = front.rows.sort_values("latency_ms")
    axes.step(rows["latency_ms"], factor * rows["score"], where="post", color=FRONT, linewidth=1.3)
    axes.scatter(
        rows["latency_ms"], factor * rows["score"], s=34, color=FRONT, zorder=3, label="front"
    )
    for _, row in rows.iterrows():
        axes.annotate(
            f"trial {row['number']}",
            (row["latency_ms"], factor * row["score"]),
            xytext=(-4, 6),
            textcoords="offset points",
            fontsize=8,
            color=FRONT,
            ha="right",
        )
    if len(references):
        axes.scatter(
            references["latency_ms"],
            factor * references["score"],
            s=46,
            marker="D",
            color=REFERENCE,
            zorder=4,
            label="reference",
        )
    for _, row in references.iterrows():
        axes.annotate(
            str(row["name"]),
            (row["latency_ms"], factor * row["score"]),
            xytext=(6, -10),
            textcoords="offset points",
            fontsize=8,
            color=REFERENCE,
        )
    limit_lines(axes, limits.get("latency_ms"))
    axes.set_xlabel("latency, median of one image (ms)")
    axes.set_ylabel(unit)
    axes.margins(x=0.12)
    legend(axes)
    return figure


def history_figure(trials: pd.DataFrame, label: str) -> Figure:
    """Draw scores over the trials' numbers, with the best so far."""
    figure, axes = single(height=3.2)
    unit, factor = score_unit(label)
    ordered = trials.sort_values("number")
    points(axes, ordered["number"], factor * ordered["score"])
    axes.step(
        ordered["number"],
        factor * ordered["score"].cummax(),
        where="post",
        color=FRONT,
        linewidth=1.3,
        label="best so far",
    )
    axes.set_xlabel("trial")
    axes.set_ylabel(unit)
    legend(axes)
    return figure


def cost_figure(
    trials: pd.DataFrame, references: pd.DataFrame, limits: Mapping[str, Bound]
) -> Figure:
    """Draw latency over MAdds: how far MAdds stand for latency here."""
    figure, axes = single(height=3.6)
    points(axes, trials["madds"] / 1e6, trials["latency_ms"])
    if len(references):
        axes.scatter(
            references["madds"] / 1e6,
            references["latency_ms"],
            s=46,
            marker="D",
            color=REFERENCE,
            label="reference",
        )
    limit_lines(axes, limits.get("madds"), 1e-6)
    limit_lines(axes, limits.get("latency_ms"), way="y")
    axes.set_xlabel("MAdds (M)")
    axes.set_ylabel("latency (ms)")
    legend(axes)
    return figure


def save(figure: Figure, path: Path, kinds: tuple[str, ...] = ("svg", "png")) -> list[Path]:
    """Write a figure as files named after `path` with every kind's ending; return these."""
    written = []
    for kind in kinds:
        target = path.with_name(f"{path.name}.{kind}")
        buffer = io.BytesIO()
        with mpl.rc_context({"svg.hashsalt": path.name}):  # the same names of parts every time
            figure.savefig(buffer, format=kind, dpi=DPI, metadata=_NO_DATE.get(kind))
        figure.set_layout_engine("none")  # what was laid out once stays
        write_atomic(target, buffer.getvalue())
        written.append(target)
    return written


def save_all(figures: Mapping[str, Figure], folder: Path) -> list[Path]:
    """Write figures by file name into a folder, which is made; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    return [path for name, figure in figures.items() for path in save(figure, folder / name)]


_NO_DATE: dict[str, dict[str, str | None]] = {"svg": {"Date": None}}
