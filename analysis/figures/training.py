"""The curves of a training."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.style import FRONT, GRID, REFERENCE, style


def curves_figure(log: pd.DataFrame, name: str) -> Figure:
    """Draw loss and accuracy over epochs, of the training and the validation part.

    Args:
        log: one row an epoch, with the columns of `nas.train`'s ``log.csv``.
        name: of the network.
    """
    figure = Figure(figsize=(9.2, 3.6), layout="constrained")
    figure.suptitle(name, fontsize=11)
    for axes, what, factor, label in zip(
        figure.subplots(1, 2), ("loss", "accuracy"), (1, 100), ("loss", "accuracy (%)"), strict=True
    ):
        style(axes)
        for part, color in (("train", REFERENCE), ("validation", FRONT)):
            shown = "training, as augmented" if part == "train" else part
            values = factor * log[f"{part}_{what}"]
            line = "o-" if len(log) < 30 else "-"
            axes.plot(log["epoch"], values, line, markersize=3.5, color=color, label=shown)
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(fontsize=8, framealpha=0.85, edgecolor=GRID)
    return figure
