import math

import pytest

from nas.accuracy.base import EstimateError
from nas.accuracy.fidelity import Images
from nas.accuracy.pool import ListedPool
from nas.accuracy.supernet.others import (
    COMPARED,
    drawn_estimates,
    estimates_of,
    other_estimators,
    remark_on,
    remarks_on,
)
from nas.accuracy.zero_cost import NotFiniteError, ZeroCost
from nas.errors import MixnasError
from nas.testing.fakes import Instant
from nas.train.recipe import Recipe
from nas.train.settings import ON_THE_CPU, PlacementSettings
from tests.networks import DEEP, TINY

NASWOT = ZeroCost("digits", resolution=16)


class Lacking(Instant):
    """Deep networks are below its scale."""

    label = "depth"
    error = NotFiniteError

    def estimate(self, spec, seed):
        if spec == DEEP:
            raise self.error("too deep")
        return super().estimate(spec, seed)


@pytest.mark.parametrize(
    ("on", "score", "expected"),
    [("mps", "naswot", "cpu"), ("mps", "zico", "mps"), ("cuda", "naswot", "cuda")],
)
def test_scores_in_double_precision_are_computed_where_there_is_any(on, score, expected):
    placement = PlacementSettings(on, "fp32")
    shown = Images("digits", 16, None, 200)
    (found,) = other_estimators(shown, placement, score, 0, Recipe(), "")
    assert found.placement.on == expected


def test_a_short_training_is_of_the_images_of_the_supernet():
    given = (0.25, 0.5, 0.75), (0.125, 0.25, 0.5)
    shown = Images("digits", 16, 40, 200)
    zero_cost, short = other_estimators(
        shown, ON_THE_CPU, "zico", 640, Recipe(normalisation=given), "w.safetensors"
    )
    assert zero_cost.shown == Images("digits", 16, 40)
    assert short.shown == shown
    assert (short.images, short.width, short.score, short.weights) == (
        640, 1.0, "accuracy", "w.safetensors",
    )  # fmt: skip
    assert short.recipe.normalisation == given
    assert other_estimators(shown, ON_THE_CPU, "", 0, Recipe(), "") == []


def test_a_network_may_be_below_a_scale():
    first, second = estimates_of([Lacking(), Instant()], DEEP, 3)
    assert math.isnan(first)
    assert second == Instant().estimate(DEEP, 3).score
    assert estimates_of([Lacking()], TINY, 3) == [Instant().estimate(TINY, 3).score]
    assert remark_on([Lacking(), NASWOT], [math.nan, math.nan]) == "depth and naswot not finite"
    assert remark_on([Lacking(), NASWOT], [math.nan, 1.0]) == "depth not finite"
    assert remark_on([Lacking()], [1.0]) == remark_on([], []) == ""


def test_an_estimator_that_fails_otherwise_leaves_no_score(monkeypatch):
    """Without it, for a lack of memory or of a file, scores would not be comparable."""
    monkeypatch.setattr(Lacking, "error", EstimateError)
    with pytest.raises(EstimateError, match="too deep"):
        estimates_of([Instant(), Lacking()], DEEP, 3)


def test_networks_are_drawn_again_with_the_same_seed():
    pool, steps = ListedPool([TINY, DEEP]), []

    def draw(seed):
        return drawn_estimates(
            lambda spec: (float(spec == DEEP),), pool, seed, lambda *step: steps.append(step)
        )

    assert draw(0) == draw(0) != draw(1)
    assert set(draw(0)) == {(0.0,), (1.0,)}
    assert steps[:COMPARED] == [(number, COMPARED) for number in range(1, COMPARED + 1)]


def test_networks_that_cannot_be_evaluated_are_left_out():
    lacking = Lacking()

    def judge(spec):
        return (lacking.estimate(spec, 0).score,)

    drawn = drawn_estimates(judge, ListedPool([TINY, DEEP]), 0, None)
    assert 0 < len(drawn) < COMPARED
    with pytest.raises(MixnasError, match="no network of the supernet can be evaluated: too deep"):
        drawn_estimates(judge, ListedPool([DEEP]), 0, None)


def test_a_remark_says_how_many_networks_an_estimator_has_no_value_for():
    drawn = [(0.5, math.nan, 1.0), (0.6, math.nan, 2.0), (0.7, 3.0, 3.0)]
    assert remarks_on([NASWOT, Lacking()], drawn) == [
        "naswot is not finite for 2 of 3 networks that were drawn; such networks count as the "
        "lowest of the others"
    ]
    assert remarks_on([], [(0.5,)]) == []
