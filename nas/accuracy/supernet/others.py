"""The estimates that count in a supernet's score beside the accuracy with shared weights."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable, Sequence
from typing import Any

from nas.accuracy.base import EstimateError, Estimator, label_of
from nas.accuracy.fidelity import Images
from nas.accuracy.naming import ANY_NUMBER
from nas.accuracy.pool import NetworkPool
from nas.accuracy.short import ShortTraining
from nas.accuracy.supernet.ensemble import Estimates
from nas.accuracy.zero_cost import DOUBLE, NotFiniteError, ZeroCost
from nas.errors import MixnasError
from nas.progress import Step
from nas.spec import NetworkSpec
from nas.train.recipe import Recipe
from nas.train.settings import ON_THE_CPU, PlacementSettings

COMPARED = 24
"""Networks that tell how estimates are distributed. The standard deviation of that many is known to
a seventh, and an estimate counts as much more or less (`experiments/results/supernet_settings.json`
tells how well other shares rank)."""


def other_estimators(
    shown: Images,
    placement: PlacementSettings,
    zero_cost: str,
    short: int,
    recipe: Recipe,
    weights: str,
) -> list[Estimator]:
    """Return the estimators that count beside the accuracy with shared weights.

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
            most_epochs=ANY_NUMBER,
            width=1.0,
            score="accuracy",
            stages=1,
            placement=placement,
            weights=weights,
        )
        own = training.recipe.replace(normalisation=recipe.normalisation)
        found.append(dataclasses.replace(training, recipe=own))
    return found


def estimates_of(estimators: Sequence[Estimator], spec: NetworkSpec, seed: int) -> list[float]:
    """Return what estimators say of a network; nan if it is below the scale of one.

    Raises:
        EstimateError: If an estimator fails for another reason, such as a lack of memory: the
            network's score would not be comparable without it.
    """
    return [_score_or_nan(each, spec, seed) for each in estimators]


def _score_or_nan(estimator: Estimator, spec: NetworkSpec, seed: int) -> float:
    try:
        return estimator.estimate(spec, seed).score
    except NotFiniteError:
        return math.nan


def drawn_estimates(
    judge: Callable[[NetworkSpec], Estimates], pool: NetworkPool, seed: int, step: Step | None
) -> list[Estimates]:
    """Return the estimates of `COMPARED` networks, without those that cannot be evaluated.

    Args:
        judge: Returns the estimates of a network, or raises an `EstimateError`.
        pool: Networks to draw from.
        seed: Random seed of the draws.
        step: Called with the number of networks done and their total number.

    Raises:
        MixnasError: If none of the networks can be evaluated.
    """
    rng = random.Random(seed)
    drawn: list[Estimates] = []
    reasons = []
    for number in range(1, COMPARED + 1):
        try:
            drawn.append(judge(pool.draw(rng)))
        except EstimateError as error:
            reasons.append(error)
        if step is not None:
            step(number, COMPARED)
    if not drawn:
        raise MixnasError(f"no network of the supernet can be evaluated: {reasons[0]}")
    return drawn


def remarks_on(estimators: Sequence[Estimator], drawn: Sequence[Estimates]) -> list[str]:
    """Return a remark for the user on each estimator that some networks are below the scale of.

    Args:
        estimators: The estimators beside the accuracy with shared weights.
        drawn: The estimates of some networks.
    """
    _, *columns = zip(*drawn, strict=True)
    lacking = [sum(map(math.isnan, column)) for column in columns]
    return [
        f"{label_of(each)} is not finite for {number} of {len(drawn)} networks that were drawn; "
        "such networks count as the lowest of the others"
        for each, number in zip(estimators, lacking, strict=True)
        if number
    ]


def remark_on(estimators: Sequence[Estimator], estimates: Sequence[float]) -> str:
    """Return a remark on a network that is below the scale of some estimates; usually empty.

    Args:
        estimators: The estimators beside the accuracy with shared weights.
        estimates: What each of them says of the network.
    """
    pairs = zip(estimators, estimates, strict=True)
    lacking = [label_of(each) for each, value in pairs if math.isnan(value)]
    return f"{' and '.join(lacking)} not finite" if lacking else ""
