"""Figures of the MixConv paper (Tan and Le 2019), redrawn beside those of a population.

The paper's points come from ``analysis/published/mixconv.json``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import linregress

from analysis.figures.style import FRONT, GRID, REFERENCE, TRIAL, legend, style
from analysis.read.architectures import BlockView
from analysis.statistics.published import LABEL

NETWORKS = ("MobileNetV1", "MobileNetV2")
LARGE = 7
"""Smallest kernel size that counts as large."""
_LINES = {
    "one kernel": ("single kernel size", "s--", REFERENCE),
    "MixConv": ("MixConv", "o-", FRONT),
    "exponential split": ("exponential split", "^-", "#c98a1b"),
    "dilated": ("dilated", "v-", "#3a7d44"),
}
"""Label, line and color of a curve, by its key in the data."""


@dataclass(frozen=True)
class PopulationOverlay:
    """Population drawn beside the paper's points.

    Attributes:
        name: Name of the population.
        networks: Blocks of each network.
        quality: Quantity to maximize, shape (networks,).
        label: Axis label of the quality.
        madds: MAdds of each network, shape (networks,); None if unknown.
    """

    name: str
    networks: Sequence[tuple[BlockView, ...]]
    quality: np.ndarray
    label: str
    madds: np.ndarray | None


def published() -> dict[str, Any]:
    """Return the points of the paper's figures, by figure, and their source."""
    text = resources.files("analysis").joinpath("published", "mixconv.json").read_text("utf-8")
    data: dict[str, Any] = json.loads(text)
    return data


def published_figures(own: PopulationOverlay | None = None) -> dict[str, Figure]:
    """Redraw figures 1, 4, 5 and 6 of the paper, with their counterparts in a population.

    The population has its own axes, since its accuracies belong to other data and networks.

    Returns:
        Figures by file name.
    """
    data = published()
    return {
        "mixconv_figure_1": _kernel_sizes(data["figure_1"], own),
        "mixconv_figure_4": _curves(data["figure_4"], own),
        "mixconv_figure_5": _layers(data["figure_5"], own),
        "mixconv_figure_6": _curves(data["figure_6"], None),
    }


def _panels(
    number: int, height: float = 3.3, widths: Sequence[float] | None = None
) -> tuple[Figure, np.ndarray]:
    figure = Figure(figsize=(4.2 * number, height), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, number, width_ratios=widths))
    for axes in panels:
        style(axes)
    return figure, panels


def _kernel_sizes(data: dict[str, Any], own: PopulationOverlay | None) -> Figure:
    """Draw figure 1: accuracy against the kernel size of all depthwise convolutions."""
    figure, panels = _panels(2 if own is None else 3)
    for axes, name in zip(panels, NETWORKS, strict=False):
        axes.plot(data["kernel"], data[name], "o-", color=REFERENCE)
        axes.set_xticks(data["kernel"], [f"{k}x{k}" for k in data["kernel"]])
        _label(axes, name, "depthwise kernel size", LABEL)
    if own is not None:
        sizes = [np.mean([block.mean_kernel for block in network]) for network in own.networks]
        panels[2].scatter(sizes, own.quality, s=10, color=TRIAL, alpha=0.7, lw=0, rasterized=True)
        _label(panels[2], own.name, "mean kernel size of the network", own.label)
    return figure


def _curves(data: dict[str, Any], own: PopulationOverlay | None) -> Figure:
    """Draw figure 4 or 6: accuracy against multiply-adds."""
    overlaid = own is not None and own.madds is not None
    figure, panels = _panels(3 if overlaid else 2)
    for axes, name in zip(panels, NETWORKS, strict=False):
        for key, points in data[name].items():
            label, marker, colour = _LINES[key]
            axes.plot(*zip(*points, strict=True), marker, color=colour, ms=4, label=label)
        _label(axes, name, "multiply-adds (M)", LABEL)
        legend(axes)
    if own is not None and own.madds is not None:
        groups = [np.mean([len(block.kernels) for block in network]) for network in own.networks]
        points = panels[2].scatter(own.madds / 1e6, own.quality, c=groups, s=12, cmap="viridis_r")
        figure.colorbar(points, ax=panels[2], label="mean kernel groups per block", pad=0.02)
        _label(panels[2], own.name, "multiply-adds (M)", own.label)
    return figure


def _layers(data: dict[str, Any], own: PopulationOverlay | None) -> Figure:
    """Draw figure 5: accuracy after replacing the kernel of a single layer."""
    figure, panels = _panels(2 if own is None else 3, widths=None if own is None else [2, 0.01, 1])
    axes = panels[0]
    if own is None:
        figure, (axes,) = _panels(1)
        figure.set_size_inches(9.2, 3.2)
    else:
        panels[1].remove()
        _stage_effects(panels[2], own)
    places = np.arange(len(data["9x9"]))
    for name, offset, colour in (("9x9", -0.2, REFERENCE), ("3, 5, 7, 9", 0.2, FRONT)):
        axes.bar(places + offset, data[name], 0.38, color=colour, label=name)
    axes.axhline(data["baseline"], color="#4d4d4d", linewidth=1, linestyle="--", label="3x3")
    ticks = [f"{place}\ns2" if place in data["stride_2"] else f"{place}" for place in places]
    axes.set_xticks(places, ticks, fontsize=8)
    axes.set_ylim(72.2, 73.7)
    _label(axes, "", "MobileNetV2 layer whose kernel was replaced (s2: stride 2)", LABEL)
    axes.legend(fontsize=8, ncols=3, framealpha=0.85, edgecolor=GRID)
    return figure


def _stage_effects(axes: Axes, own: PopulationOverlay) -> None:
    """Draw by stage the slope of quality against the share of channels with large kernels."""
    stages = sorted({block.stage for network in own.networks for block in network})
    slopes, reaches = [], []
    for stage in stages:
        share = np.array([_large_share(network, stage) for network in own.networks])
        finite = np.isfinite(share) & np.isfinite(own.quality)
        slope, error = _slope(share[finite], own.quality[finite])
        slopes.append(slope)
        reaches.append(1.96 * error)
    places = np.arange(len(stages))
    axes.bar(places, slopes, 0.6, yerr=reaches, color=TRIAL, error_kw={"linewidth": 1})
    axes.axhline(0, color="#4d4d4d", linewidth=0.8)
    axes.set_xticks(places, [str(stage + 1) for stage in stages])
    label = f"slope of {own.label} against the\nshare of kernels {LARGE}x{LARGE} and larger"
    _label(axes, own.name, "stage", label)
    axes.yaxis.label.set_fontsize(8)


def _large_share(network: Sequence[BlockView], stage: int) -> float:
    """Return the share of large kernels in a stage; NaN if the network has no such stage."""
    shares = [
        sum(size >= LARGE for size in block.kernels) / len(block.kernels)
        for block in network
        if block.stage == stage
    ]
    return float(np.mean(shares)) if shares else float("nan")


def _slope(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return the slope of a regression line and its standard error; NaN if x does not vary."""
    if len(x) < 3 or np.ptp(x) == 0:
        return float("nan"), float("nan")
    fit = linregress(x, y)
    return float(fit.slope), float(fit.stderr)


def _label(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
