"""Learning curves of a training run."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.style import FRONT, REFERENCE, legend, style

MARKED = 30
"""Number of epochs from which on curves are drawn without markers."""


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
        axes.xaxis.get_major_locator().set_params(integer=True)
        legend(axes)
    return figure
