import math

import pytest

from nas.accuracy import open_estimator
from nas.accuracy.base import (
    Estimate,
    EstimateError,
    PortableEstimator,
    PreparedEstimator,
    StagedEstimator,
    in_stages,
    is_accuracy_of,
    label_of,
    max_score_of,
    number_of_stages,
)
from nas.accuracy.pool import ListedPool
from nas.named import TimmNetwork
from tests.networks import TINY


class Plain:
    def fingerprint(self):
        return {"estimator": "plain"}

    def estimate(self, spec, seed):
        return Estimate(accuracy=0.5, loss=None, seconds=0.0, seed=seed)


class Staged(Plain):
    stages = 3
    label = "speed"
    max_score = None

    def estimates(self, spec, seed):
        for stage in range(3):
            yield Estimate(accuracy=None, loss=None, seconds=0.0, seed=seed, score=stage)


def test_the_score_is_the_accuracy_unless_it_is_given():
    assert Estimate(accuracy=0.7, loss=1.0, seconds=2.0, seed=3).score == 0.7
    assert Estimate(accuracy=0.7, loss=1.0, seconds=2.0, seed=3, score=0.2).score == 0.2
    assert Estimate(accuracy=0.7, loss=1.0, seconds=2.0, seed=3, score=0.0).score == 0.0
    assert math.isnan(Estimate(accuracy=None, loss=None, seconds=2.0, seed=3).score)


def test_labels_and_bounds_have_defaults():
    assert (label_of(Plain()), max_score_of(Plain())) == ("validation accuracy", 1.0)
    assert (label_of(Staged()), max_score_of(Staged())) == ("speed", None)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, True),
        ({"label": "speed"}, False),
        ({"max_score": None}, False),
        ({"label": "accuracy with shared weights", "is_accuracy": True}, True),
        ({"is_accuracy": False}, False),
    ],
)
def test_an_estimator_declares_whether_scores_are_accuracies(attributes, expected):
    assert is_accuracy_of(type("Mine", (Plain,), attributes)()) is expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("supernet", True),
        ("short:score=accuracy", True),
        ("short:score=loss", False),
        ("short", False),
        ("zero-cost", False),
    ],
)
def test_the_built_in_estimators_declare_it(name, expected):
    assert is_accuracy_of(open_estimator(name, "digits", pool=ListedPool([TINY]))) is expected


def test_an_estimator_without_stages_has_one():
    assert number_of_stages(Plain()) == 1
    (only,) = in_stages(Plain(), TINY, 4)
    assert (only.accuracy, only.seed) == (0.5, 4)
    assert number_of_stages(Staged()) == 3
    assert [estimate.score for estimate in in_stages(Staged(), TINY, 4)] == [0, 1, 2]


def test_abilities_are_recognized_by_their_methods():
    assert isinstance(Staged(), StagedEstimator)
    assert not isinstance(Plain(), StagedEstimator | PreparedEstimator | PortableEstimator)


def test_estimators_take_networks_of_timm_where_they_say_so():
    network = TimmNetwork("timm:resnet18", 10, 32)
    with pytest.raises(EstimateError, match="timm:resnet18 has no spec, which this estimator"):
        list(in_stages(Plain(), network, 4))
    taking = Plain()
    taking.evaluates_timm = True
    assert len(list(in_stages(taking, network, 4))) == 1
