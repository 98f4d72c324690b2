"""Learning curves of a training run, and the comparison of several."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from analysis.figures.style import FRONT, GRID, PALETTE, REFERENCE, entry, legend, style
from analysis.units import column_unit

MARKED = 30
"""Number of epochs from which on curves are drawn without markers."""

_LINES = (("-", "o"), ("--", "s"), (":", "^"), ("-.", "D"))
"""Kinds of lines and markers, which change when all colors have been used."""
_NAMED_LINE = 0.17  # inches of a legend that one name takes


def curves_figure(log: pd.DataFrame, name: str) -> Figure:
    """Draw loss and accuracy on the training and validation splits, by epoch.

    Args:
        log: One row per epoch, with the columns of the ``log.csv`` of ``nas.train``.
        name: Name of the network.
    """
    figure = Figure(figsize=(9.2, 3.6), layout="constrained")
    figure.suptitle(name, fontsize=11)
    left, right = figure.subplots(1, 2)
    for axes, metric, factor, label in (
        (left, "loss", 1, "loss"),
        (right, "accuracy", 100, "accuracy (%)"),
    ):
        style(axes)
        for split, shown, color in (
            ("train", "training (augmented)", REFERENCE),
            ("validation", "validation", FRONT),
        ):
            values = factor * log[f"{split}_{metric}"]
            line = "o-" if len(log) < MARKED else "-"
            axes.plot(log["epoch"], values, line, markersize=3.5, color=color, label=shown)
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        legend(axes)
    return figure


def comparison_figure(table: pd.DataFrame, logs: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw networks that were trained in the same way: test accuracy by MAdds, and their curves.

    Args:
        table: One row per network, in the order of the legend: ``network`` (its name), ``madds``
            and ``top1`` (a share).
        logs: Logs of the trainings by name, with ``epoch`` and ``validation_accuracy``.
    """
    height = max(3.8, _NAMED_LINE * len(table) + 0.4)
    figure = Figure(figsize=(11.2, height), layout="constrained")
    left, right = figure.subplots(1, 2)
    label, divisor = column_unit("madds")
    for number, row in enumerate(table.to_dict("records")):
        look, marker = _look(number)
        place = (row["madds"] / divisor, 100 * row["top1"])
        name = str(row["network"])
        left.plot(*place, marker, color=look["color"])
        log = logs[name]
        marked = {"marker": marker, "markersize": 3.5, "markevery": 1}
        if len(log) >= MARKED:
            marked["markevery"] = [-1]
        curve = 100 * log["validation_accuracy"]
        right.plot(log["epoch"], curve, label=entry(name), **look, **marked)
    for axes in (left, right):
        style(axes)
    left.set_xscale("log")
    _plain_ticks(left.xaxis, table["madds"] / divisor)
    left.set_xlabel(label)
    left.set_ylabel("test accuracy (%)")
    right.set_xlabel("epoch")
    right.set_ylabel("validation accuracy (%)")
    right.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    figure.legend(fontsize=8, loc="outside right upper", framealpha=0.85, edgecolor=GRID)
    return figure


def _look(number: int) -> tuple[dict[str, Any], str]:
    """Return color and kind of the line of a network by its position, and its marker."""
    line, marker = _LINES[number // len(PALETTE) % len(_LINES)]
    return {"color": PALETTE[number % len(PALETTE)], "linestyle": line, "linewidth": 1.3}, marker


def _plain_ticks(axis: Any, values: pd.Series) -> None:
    """Write the numbers of a logarithmic axis out; within two decades, some between as well."""
    wide = math.log10(values.max() / values.min()) > 2
    axis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())
