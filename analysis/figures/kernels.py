"""Figures of mixed kernels: where the best networks use which sizes, and networks as staircases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from analysis.figures.style import (
    FRONT,
    TRIAL,
    legend,
    name_vertical,
    style,
    without_rest,
)
from analysis.read.architectures import BlockView
from analysis.statistics.kernel_use import KernelUse, MeanContrast


def kernel_figure(use: KernelUse) -> Figure:
    """Draw by stage the share of each kernel size, the mean kernel size and the kernel groups."""
    figure = Figure(figsize=(10.4, 3.4), layout="constrained")
    shares, kernel, groups = figure.subplots(1, 3, width_ratios=[1.5, 1, 1])
    _stacked(shares, use)
    _means(kernel, use.kernel, use, "mean kernel size")
    _means(groups, use.groups, use, "kernel groups per block")
    legend(kernel)
    return figure


def _stacked(axes: Axes, use: KernelUse) -> None:
    """Draw two stacked bars per stage: the best networks on the left, all others on the right."""
    style(axes)
    axes.grid(visible=False)
    colour = kernel_colours(use.sizes)
    places = np.arange(len(use.stages), dtype=float)
    for part, offset in (("good", -0.2), ("others", 0.2)):
        best = part == "good"
        below = np.zeros(len(use.stages))
        for number, size in enumerate(use.sizes):
            contrasts = [stage[number] for stage in use.shares]
            height = np.nan_to_num([getattr(contrast, part) for contrast in contrasts])
            if best:
                _stars(axes, places + offset, below + height / 2, contrasts)
            axes.bar(
                places + offset,
                height,
                0.36,
                bottom=below,
                color=colour[size],
                alpha=1.0 if best else 0.45,
                label=f"{size}x{size}" if best else None,
            )
            below += height
    axes.set_xticks(places, [f"{stage + 1}" for stage in use.stages])
    axes.set_xlabel(f"stage (left: best {use.n_good}, right: others; *: significant at 95%)")
    axes.set_ylabel("share of kernel groups")
    axes.legend(
        fontsize=7, ncols=len(use.sizes), loc="lower left", bbox_to_anchor=(0, 1), frameon=False
    )


def _stars(
    axes: Axes, places: np.ndarray, heights: np.ndarray, contrasts: Sequence[MeanContrast]
) -> None:
    """Mark the shares in which the best networks differ significantly from the others."""
    for place, height, contrast in zip(places, heights, contrasts, strict=True):
        if contrast.verdict in ("more", "less") and contrast.good > 0:
            text = axes.text(place, height, "*", ha="center", va="center", color="white", size=13)
            text.set_path_effects([withStroke(linewidth=1.5, foreground="black")])


def _means(axes: Axes, contrasts: Sequence[MeanContrast], use: KernelUse, label: str) -> None:
    """Draw means by stage; error bars show the interval of the difference from the others."""
    style(axes)
    places = np.arange(len(contrasts), dtype=float)
    good = np.array([contrast.good for contrast in contrasts])
    others = np.array([contrast.others for contrast in contrasts])
    reach = good - others - np.array([contrast.low for contrast in contrasts])
    axes.errorbar(
        places, good, yerr=reach, fmt="o-", ms=4, color=FRONT, capsize=2, label=f"best {use.n_good}"
    )
    axes.plot(places, others, "s--", ms=4, color=TRIAL, label="others")
    axes.set_xticks(places, [f"{stage + 1}" for stage in use.stages])
    axes.set_xlabel("stage")
    name_vertical(axes, label)


def kernel_colours(sizes: Sequence[int]) -> dict[int, Any]:
    """Return a color for every kernel size, darker for larger sizes."""
    shades = mpl.colormaps["viridis_r"](np.linspace(0.12, 0.95, max(2, len(sizes))))
    return dict(zip(sizes, shades, strict=False))


# -- networks as staircases -------------------------------------------------------------------


def staircase_figure(networks: Sequence[tuple[str, tuple[BlockView, ...]]]) -> Figure:
    """Draw the channels and kernels of networks block by block, two networks per row.

    Args:
        networks: Title and blocks of each network.
    """
    rows = -(-len(networks) // 2)
    figure = Figure(figsize=(9.6, 1.9 * rows + 0.5), layout="constrained")
    panels = figure.subplots(rows, 2, sharey=True, squeeze=False)
    grid = panels.ravel()
    sizes = sorted({k for _, blocks in networks for b in blocks for k in b.kernels})
    colour = kernel_colours(sizes)
    for axes, (title, blocks) in zip(grid, networks, strict=False):
        style(axes)
        _staircase(axes, blocks, colour)
        axes.set_title(title, fontsize=8, loc="left")
    without_rest(panels, len(networks))
    for size in sizes:
        grid[0].bar([0], [0], color=colour[size], label=f"{size}x{size}")
    grid[0].legend(fontsize=7, ncols=len(sizes), loc="upper left", frameon=False)
    for axes in grid[: len(networks) : 2]:
        axes.set_ylabel("channels")
    return figure


def _staircase(axes: Axes, blocks: Sequence[BlockView], colour: dict[int, Any]) -> None:
    """Draw one bar per block, as high as its output channels, divided into its kernel groups."""
    for place, block in enumerate(blocks):
        part = block.channels / len(block.kernels)
        for number, size in enumerate(block.kernels):
            axes.bar(place, part, 0.9, bottom=number * part, color=colour[size])
        if place and block.stage != blocks[place - 1].stage:
            axes.axvline(place - 0.5, color="#8a949e", linewidth=0.7, linestyle=":")
    axes.grid(visible=False, axis="x")
    axes.set_xticks(range(len(blocks)), ["2" if b.stride == 2 else "" for b in blocks], fontsize=7)
    axes.set_xlabel("block (2: stride 2)", fontsize=7)
