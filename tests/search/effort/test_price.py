import dataclasses
import random

import pytest

from nas.limits import parse_limit
from nas.search.components import open_components
from nas.search.config import SearchConfig
from nas.search.effort import price
from nas.search.effort.price import Phase, StepTimes, expected_phases, in_words
from nas.space import load_space
from nas.space.sampling import sample_many

# A first step takes 1 s and each further one 0.1 s, so that an image takes 1 / 640 s.
TIMES = StepTimes(first=1.0, further=0.1, images=64)
CONFIG = SearchConfig(
    space="mixnet",
    data="digits",
    estimator="supernet:images=43080,calibration=128",
    device="nas.testing.fakes:InstantDevice",
    references=["mixnet_s"],
    trials=9,
    confirm=2,
    retrain="images=640",
)


@pytest.fixture
def phases(monkeypatch, tmp_path):
    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path))
    timed = []

    def steps(estimator, networks):
        timed.append([network.digest() for network in networks])
        return TIMES

    monkeypatch.setattr(price, "timed_steps", steps)

    def found(**changes):
        config = dataclasses.replace(CONFIG, **changes)
        return expected_phases(open_components(config, load_space(config.space)), config)

    found.timed = timed
    return found


def test_the_price_follows_from_what_the_phases_do(phases):
    supernet, networks, retraining = phases()
    # 1,077 images for training, 360 for validation; 40 epochs of them, in steps of 64.
    assert supernet == Phase("supernet", pytest.approx(40 * 1_077 / 64))
    assert networks.name == "10 networks"
    looked_at = 10 * (128 + 360) / 3 / 640  # a third of the price of training on them
    assert networks.seconds == pytest.approx(10 * 1.0 + looked_at + 10 * 3.0)
    # Two of the front and a reference, three times each.
    assert retraining == Phase("retraining", pytest.approx(3 * 3 * 640 / 640))
    assert len(phases.timed[0]) == 3


def test_what_is_not_done_has_no_price(phases):
    names = [phase.name for phase in phases(confirm=0, latency="predicted")]
    assert names == ["supernet", "10 networks"]
    *_, networks = phases(confirm=0, latency="predicted")
    assert networks.seconds == pytest.approx(10 * 1.0 + 10 * (128 + 360) / 3 / 640)
    (networks,) = phases(estimator="short:images=6400,most_epochs=6", confirm=0)
    assert networks.seconds == pytest.approx(10 * (6_400 + 360 / 3) / 640 + 10 * 3.0)
    two = ["nas.testing.fakes:InstantDevice", "nas.testing.fakes:SecondDevice"]
    (networks,) = phases(estimator="short:images=6400,most_epochs=6", confirm=0, device=two)
    assert networks.seconds == pytest.approx(10 * (6_400 + 360 / 3) / 640 + 2 * 10 * 3.0)


def test_a_search_that_is_soon_over_is_not_timed(phases):
    assert phases(estimator="short:images=640", confirm=0) == []
    assert phases(estimator="zero-cost:params") == []
    assert phases.timed == []


def test_steps_are_timed_where_they_are_taken():
    """The first step of a network includes building it."""
    space = load_space("mixnet")
    small = dataclasses.replace(open_components(CONFIG, space).estimator, resolution=16)
    limits = [parse_limit("madds", "100M")]
    drawn = [
        space.decode(found.genotype) for found in sample_many(space, random.Random(0), 3, limits)
    ]
    times = price.timed_steps(small, drawn)
    assert times.images == small.recipe.batch_size
    assert 0 < times.further < times.first


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (
            (240, 90, 30),
            "expected to take about 6 minutes: supernet 4, 18 networks 1.5, retraining 0.5",
        ),
        (
            (7_200, 1_800, 5_400),
            "expected to take about 4 hours: supernet 2, 18 networks 0.5, retraining 1.5",
        ),
    ],
)
def test_a_price_reads_as_a_line(seconds, words):
    names = ("supernet", "18 networks", "retraining")
    phases = [Phase(name, value) for name, value in zip(names, seconds, strict=True)]
    assert in_words(phases) == words
