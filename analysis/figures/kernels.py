"""Pictures of mixed kernels: which ones good networks use where, and networks as staircases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from analysis.figures.style import FRONT, TRIAL, legend, style
from analysis.read.architectures import BlockView
from analysis.statistics.kernel_use import KernelUse, MeanContrast

GOOD, OTHERS = FRONT, TRIAL


def kernel_figure(use: KernelUse) -> Figure:
    """Draw shares of kernel sizes by stage, the mean kernel size and the number of groups."""
    figure = Figure(figsize=(10.4, 3.4), layout="constrained")
    shares, kernel, groups = figure.subplots(1, 3, width_ratios=[1.5, 1, 1])
    _stacked(shares, use)
    _beside(kernel, use, use.kernel, "mean kernel size")
    _beside(groups, use, use.groups, "kernel groups")
    legend(kernel)
    return figure


def _stacked(axes: Axes, use: KernelUse) -> None:
    style(axes)
    axes.grid(visible=False)
    colour = kernel_colours(use.sizes)
    places = np.arange(len(use.stages), dtype=float)
    for part, offset in (("good", -0.2), ("others", 0.2)):
        below = np.zeros(len(use.stages))
        for number, size in enumerate(use.sizes):
            found = [contrasts[number] for contrasts in use.shares]
            height = np.nan_to_num([getattr(contrast, part) for contrast in found])
            if offset < 0:
                _stars(axes, places + offset, below + height / 2, found)
            axes.bar(
                places + offset,
                height,
                0.36,
                bottom=below,
                color=colour[size],
                alpha=1.0 if offset < 0 else 0.45,
                label=f"{size}x{size}" if offset < 0 else None,
            )
            below += height
    axes.set_xticks(places, [f"{stage + 1}" for stage in use.stages])
    axes.set_xlabel(f"stage; left the best {use.n_good}, right all others (*: beyond chance)")
    axes.set_ylabel("share of the kernel groups")
    axes.legend(
        fontsize=7, ncols=len(use.sizes), loc="lower left", bbox_to_anchor=(0, 1), frameon=False
    )


def _stars(
    axes: Axes, places: np.ndarray, heights: np.ndarray, found: Sequence[MeanContrast]
) -> None:
    """Mark shares in which the good networks differ from the others beyond chance."""
    for place, height, contrast in zip(places, heights, found, strict=True):
        if contrast.verdict in ("more", "less") and contrast.good > 0:
            text = axes.text(place, height, "*", ha="center", va="center", color="white")
            text.set_path_effects([withStroke(linewidth=2, foreground="black")])


def _beside(axes: Axes, use: KernelUse, found: Sequence[MeanContrast], label: str) -> None:
    """Draw means by stage; bars are intervals of the difference, around the good ones' mean."""
    style(axes)
    places = np.arange(len(found), dtype=float)
    good = np.array([d.good for d in found])
    others = np.array([d.others for d in found])
    low = np.array([d.good - d.others - d.low for d in found])
    axes.errorbar(places, good, yerr=low, fmt="o-", ms=4, color=GOOD, capsize=2, label="best")
    axes.plot(places, others, "s--", ms=4, color=OTHERS, label="others")
    axes.set_xticks(places, [f"{stage + 1}" for stage in use.stages])
    axes.set_xlabel("stage")
    axes.set_ylabel(label)


def kernel_colours(sizes: Sequence[int]) -> dict[int, Any]:
    """Return a colour for every kernel size, darker for larger ones."""
    shades = mpl.colormaps["viridis_r"](np.linspace(0.12, 0.95, max(2, len(sizes))))
    return dict(zip(sizes, shades, strict=False))


# -- networks as staircases -------------------------------------------------------------------


def staircase_figure(networks: Sequence[tuple[str, tuple[BlockView, ...]]]) -> Figure:
    """Draw networks as widths and kernels over their blocks, two side by side.

    Args:
        networks: their titles and blocks.
    """
    rows = -(-len(networks) // 2)
    figure = Figure(figsize=(9.6, 1.9 * rows + 0.5), layout="constrained")
    grid = np.atleast_1d(figure.subplots(rows, 2, sharey=True)).ravel()
    sizes = sorted({k for _, blocks in networks for b in blocks for k in b.kernels})
    colour = kernel_colours(sizes)
    for axes, (title, blocks) in zip(grid, networks, strict=False):
        style(axes)
        _staircase(axes, blocks, colour)
        axes.set_title(title, fontsize=8, loc="left")
    for axes in grid[len(networks) :]:
        axes.remove()
    for size in sizes:
        grid[0].bar([0], [0], color=colour[size], label=f"{size}x{size}")
    grid[0].legend(fontsize=7, ncols=len(sizes), loc="upper left", frameon=False)
    for axes in grid[: len(networks) : 2]:
        axes.set_ylabel("channels")
    return figure


def _staircase(axes: Axes, blocks: Sequence[BlockView], colour: dict[int, Any]) -> None:
    """Draw a bar a block, as high as it has channels, parted by its kernel groups."""
    for place, block in enumerate(blocks):
        part = block.channels / len(block.kernels)
        for number, size in enumerate(block.kernels):
            axes.bar(place, part, 0.9, bottom=number * part, color=colour[size])
        if place and block.stage != blocks[place - 1].stage:
            axes.axvline(place - 0.5, color="#8a949e", linewidth=0.7, linestyle=":")
    axes.set_xticks(range(len(blocks)), ["2" if b.stride == 2 else "" for b in blocks], fontsize=7)
    axes.set_xlabel("block; 2: stride 2", fontsize=7)
