"""MixConv's own figures (Tan and Le 2019) from its published points, and a population's beside."""

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

NETWORKS = ("MobileNetV1", "MobileNetV2")
TOP1 = "ImageNet top-1 (%), published"
LARGE = 7  # a kernel from this size on is called large
_LINES = {
    "one kernel": ("s--", REFERENCE),
    "MixConv": ("o-", FRONT),
    "exponential split": ("^-", "#c98a1b"),
    "dilated": ("v-", "#3a7d44"),
}


@dataclass(frozen=True)
class PopulationOverlay:
    """A population to draw beside the paper's points.

    Attributes:
        name: of the population.
        networks: their blocks.
        quality: what is to be maximised, (n,).
        label: what that is called.
        madds: of the networks, (n,); None where they are not known.
    """

    name: str
    networks: Sequence[tuple[BlockView, ...]]
    quality: np.ndarray
    label: str
    madds: np.ndarray | None


def published() -> dict[str, Any]:
    """Return the points of MixConv's figures, with their source."""
    text = resources.files("analysis").joinpath("published", "mixconv.json").read_text("utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def published_figures(own: PopulationOverlay | None = None) -> dict[str, Figure]:
    """Redraw figures 1, 4, 5 and 6 of the paper, and what answers to them in a population.

    A population is drawn on axes of its own: its figures are of other images and other networks.
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
    axes = np.atleast_1d(figure.subplots(1, number, width_ratios=widths))
    for each in axes:
        style(each)
    return figure, axes


def _kernel_sizes(data: dict[str, Any], own: PopulationOverlay | None) -> Figure:
    figure, panels = _panels(2 if own is None else 3)
    for axes, name in zip(panels, NETWORKS, strict=False):
        axes.plot(data["kernel"], data[name], "o-", color=REFERENCE)
        axes.set_xticks(data["kernel"], [f"{k}x{k}" for k in data["kernel"]])
        _name(axes, name, "depthwise kernel", TOP1)
    if own is not None:
        sizes = [np.mean([block.mean_kernel for block in network]) for network in own.networks]
        panels[2].scatter(sizes, own.quality, s=10, color=TRIAL, alpha=0.7, lw=0, rasterized=True)
        _name(panels[2], own.name, "mean kernel size of the network", own.label)
    return figure


def _curves(data: dict[str, Any], own: PopulationOverlay | None) -> Figure:
    drawn = own is not None and own.madds is not None
    figure, panels = _panels(3 if drawn else 2)
    for axes, name in zip(panels, NETWORKS, strict=False):
        for label, points in data[name].items():
            marker, colour = _LINES[label]
            axes.plot(*zip(*points, strict=True), marker, color=colour, ms=4, label=label)
        _name(axes, name, "multiply-adds (M)", TOP1)
        legend(axes)
    if own is not None and own.madds is not None:
        groups = [np.mean([len(block.kernels) for block in network]) for network in own.networks]
        shown = panels[2].scatter(own.madds / 1e6, own.quality, c=groups, s=12, cmap="viridis_r")
        figure.colorbar(shown, ax=panels[2], label="mean kernel groups", pad=0.02)
        _name(panels[2], own.name, "multiply-adds (M)", own.label)
    return figure


def _layers(data: dict[str, Any], own: PopulationOverlay | None) -> Figure:
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
    _name(
        axes, "", "the one layer of MobileNetV2 that was given other kernels (s2: stride 2)", TOP1
    )
    axes.legend(fontsize=8, ncols=3, framealpha=0.85, edgecolor=GRID)
    return figure


def _stage_effects(axes: Axes, own: PopulationOverlay) -> None:
    """Draw by stage how the quality goes with the share of channels under large kernels."""
    stages = sorted({block.stage for network in own.networks for block in network})
    slopes, errors = [], []
    for stage in stages:
        share = np.array([_large(network, stage) for network in own.networks])
        kept = np.isfinite(share) & np.isfinite(own.quality)
        slope, error = _slope(share[kept], own.quality[kept])
        slopes.append(slope)
        errors.append(1.96 * error)
    places = np.arange(len(stages))
    axes.bar(places, slopes, 0.6, yerr=errors, color=TRIAL, error_kw={"linewidth": 1})
    axes.axhline(0, color="#4d4d4d", linewidth=0.8)
    axes.set_xticks(places, [str(stage + 1) for stage in stages])
    wanted = f"{own.label}, slope over the share\nof {LARGE}x{LARGE} and larger kernels"
    _name(axes, own.name, "stage", wanted)
    axes.yaxis.label.set_fontsize(8)


def _large(network: Sequence[BlockView], stage: int) -> float:
    shares = [
        sum(size >= LARGE for size in block.kernels) / len(block.kernels)
        for block in network
        if block.stage == stage
    ]
    return float(np.mean(shares)) if shares else float("nan")


def _slope(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return the slope of a line and its standard error; NaN where x does not vary."""
    if len(x) < 3 or np.ptp(x) == 0:
        return float("nan"), float("nan")
    found = linregress(x, y)
    return float(found.slope), float(found.stderr)


def _name(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
