"""Several opinions of a network in one score: shared weights, a zero-cost score, short training.

Estimates of different kinds err in different ways, so that they rank networks better together than
each of them alone (White et al. 2021, arXiv:2104.01177). Each has a scale of its own; what it says
is put into percentage points of accuracy by networks that are drawn from the space.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import ConfigDict, Field, FiniteFloat, NonNegativeFloat
from pydantic.dataclasses import dataclass

from nas.accuracy.base import Estimator
from nas.accuracy.fidelity import Images
from nas.accuracy.short import ShortTraining
from nas.accuracy.zero_cost import DOUBLE, ZeroCost
from nas.document import read_document, validate
from nas.files import write_atomic
from nas.train.recipe import Recipe
from nas.train.settings import ON_THE_CPU, PlacementSettings

COMPARED = 24
"""Networks that tell the scales, which need not be known well: with a third of a score instead of a
half, an opinion ranks networks hardly worse."""
MOST_OPINIONS = 8
Opinions = Sequence[float]
"""What estimates say of a network: its accuracy with shared weights, 0..1, then the others."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Blend:
    """How opinions are distributed among the networks of a space.

    Attributes:
        means: Mean of each opinion.
        deviations: Their standard deviations.
    """

    means: Annotated[tuple[FiniteFloat, ...], Field(min_length=1, max_length=MOST_OPINIONS)]
    deviations: Annotated[
        tuple[NonNegativeFloat, ...], Field(min_length=1, max_length=MOST_OPINIONS)
    ]

    @classmethod
    def of(cls, drawn: Sequence[Opinions]) -> Blend:
        """Return the blend by the opinions of networks that were drawn at random, at least one."""
        columns = np.array(drawn, dtype=float)
        return cls(tuple(columns.mean(0).tolist()), tuple(columns.std(0).tolist()))

    @classmethod
    def read(cls, path: Path) -> Blend:
        """Read a blend that `write` has written.

        Raises:
            MixnasError: If the file is missing or damaged.
        """
        document = read_document(path)
        blend: Blend = validate(cls, document)
        if len(blend.means) != len(blend.deviations):
            document.fail(("deviations",), "expected as many as there are means")
        return blend

    def write(self, path: Path) -> None:
        """Write the blend as JSON."""
        write_atomic(path, json.dumps(vars(self)))

    def score(self, opinions: Opinions) -> float:
        """Return the mean of a network's accuracy and of those that other opinions suggest, 0..1.

        An opinion suggests an accuracy that is as many standard deviations above the mean as the
        opinion itself is. One that is the same of all networks suggests none.
        """
        accuracy, *others = opinions
        suggested = [
            self.means[0] + self.deviations[0] * (opinion - mean) / deviation
            for opinion, mean, deviation in zip(
                others, self.means[1:], self.deviations[1:], strict=True
            )
            if deviation
        ]
        score = (accuracy + sum(suggested)) / (1 + len(suggested))
        return min(1.0, max(0.0, score))


def other_estimators(
    shown: Images,
    placement: PlacementSettings,
    zero_cost: str,
    short: int,
    recipe: Recipe,
    weights: str,
) -> list[Estimator]:
    """Return the estimators whose opinions count beside the accuracy with shared weights.

    Args:
        shown: The images that the supernet was trained on.
        placement: Where to compute.
        zero_cost: Name of the zero-cost score; empty for none.
        short: Images that a short training sees; 0 for none.
        recipe: Recipe of the supernet, which says how images are normalized.
        weights: Pretrained network that the supernet began from; empty for random weights.
    """
    images: dict[str, Any] = {
        "data": shown.name,
        "resolution": shown.resolution,
        "images_per_class": shown.per_class,
    }
    found: list[Estimator] = []
    if zero_cost:
        lacking = placement.kind == "mps" and zero_cost in DOUBLE
        there = ON_THE_CPU if lacking else placement
        found.append(ZeroCost(**images, score=zero_cost, placement=there))
    if short:
        training = ShortTraining(
            **{**images, "validation": shown.validation},
            images=short,
            most_epochs=short,
            width=1.0,
            score="accuracy",
            stages=1,
            placement=placement,
            weights=weights,
        )
        own = training.recipe.replace(normalisation=recipe.normalisation)
        found.append(dataclasses.replace(training, recipe=own))
    return found
