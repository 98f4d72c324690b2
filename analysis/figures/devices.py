"""Figures of one search on several devices."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.style import FRONT, legend, limit_lines, name_vertical, single
from analysis.read.limits import Bound
from analysis.schema import on_device
from analysis.units import score_unit


def devices_figure(
    trials: pd.DataFrame,
    joint: pd.DataFrame,
    devices: tuple[str, str],
    label: str,
    is_share: bool,
    limits: tuple[Bound | None, Bound | None] = (None, None),
) -> Figure:
    """Draw the latency on one device against that on another, in the color of the score.

    Were the devices alike, all networks would lie on one line; those below it are the ones that the
    second device runs better than the first one does.

    Args:
        trials: Completed trials, with the columns ``score`` and ``latency_ms@DEVICE``.
        joint: Those on the front of the score and all latencies.
        devices: Device of the horizontal axis, and of the vertical one.
        label: Name of the scores, `Run.label`.
        is_share: Whether scores are accuracies, which are drawn in percent.
        limits: Limits on the latencies on the two devices.
    """
    figure, axes = single()
    across, up = (on_device("latency_ms", device) for device in devices)
    unit, factor = score_unit(label, is_share)
    known = trials.dropna(subset=[across, up])
    points = axes.scatter(known[across], known[up], c=factor * known["score"], s=26, lw=0)
    figure.colorbar(points, label=unit)
    axes.scatter(
        joint[across], joint[up], s=70, facecolors="none", edgecolors=FRONT, linewidths=1.2,
        label="front of all devices",
    )  # fmt: skip
    if len(known):
        ratio = float(np.median(known[up] / known[across]))
        middle = float(known[across].median())
        label = f"{ratio:.2f} times as long (median)"
        place = (middle, ratio * middle)
        axes.axline(place, slope=ratio, color=FRONT, linewidth=0.8, linestyle=":", label=label)
    limit_lines(axes, limits[0])
    limit_lines(axes, limits[1], way="y")
    axes.set_xlabel(f"latency on {devices[0]} (ms)")
    name_vertical(axes, f"latency on {devices[1]} (ms)")
    legend(axes)
    return figure
