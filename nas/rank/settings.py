"""The settings of a ranking, and their defaults."""

from __future__ import annotations

from dataclasses import dataclass

from nas import defaults

FEWEST_NETWORKS = 3
"""Networks with a score that a ranking card needs."""


@dataclass(frozen=True, kw_only=True)
class RankingSettings:
    """What a ranking is asked to do; ``ranking.yaml`` in its folder holds it.

    Attributes:
        table: Path of the trained networks (see `nas.accuracy.table`).
        estimator: Estimator to test, with its settings behind a colon.
        data: Name or path of the data set.
        n: Number of networks to draw from the table.
        seed: Random seed of the drawing, the estimator and the bootstrap.
        on: Kind of the device that networks are trained on.
        images_per_class: Number of images of each class to use, at most; None for all.
    """

    table: str
    estimator: str = defaults.ESTIMATOR
    data: str = defaults.DATA
    n: int = 60
    seed: int = 0
    on: str = "cpu"
    images_per_class: int | None = None
