import dataclasses
import os
import random

import pytest
import torch

from nas.executors.base import Resources
from nas.latency.profile import DeviceProfile
from nas.limits import parse_limit
from nas.search.components import open_components
from nas.search.config import SearchConfig
from nas.search.effort import price
from nas.search.effort.price import PricedPhase, expected_phases, in_words
from nas.space import load_space
from nas.space.sampling import sample_many

CONFIG = SearchConfig(
    space="mixnet",
    data="digits",
    estimator="supernet:images=43080,calibration=128",
    device="nas.testing.fakes:InstantDevice",
    references=["mixnet_s"],
    trials=9,
    confirm=2,
    retrain="images=640",
    workers=2,
    threads=1,
)


@pytest.fixture
def phases(monkeypatch, tmp_path):
    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path))
    timed = []

    def first(estimator, networks):
        timed.extend(networks)
        return 1.0

    def further(estimator, network, workers):
        timed.append(network)
        assert (workers.workers, workers.threads) == (2, 1)
        return 1 / 640

    monkeypatch.setattr(price, "first_steps", first)
    monkeypatch.setattr(price, "further_steps", further)

    def found(**changes):
        config = dataclasses.replace(CONFIG, **changes)
        return expected_phases(open_components(config, load_space(config.space)), config)

    found.timed = timed
    return found


def test_the_price_follows_from_what_the_phases_do(phases):
    supernet, networks, retraining = phases()
    # A third of the price of training on the images that a network is judged on.
    looked_at = (128 + 360) / 3 / 640
    # 1,077 images for training, 360 for validation; 40 epochs of them, in steps of 64. Then 24
    # networks are compared, one after another.
    expected = 40 * 1_077 / 64 + 24 * looked_at
    assert supernet == PricedPhase("supernet", pytest.approx(expected))
    assert networks.name == "10 networks"  # in two workers
    assert networks.seconds == pytest.approx(10 * looked_at / 2 + 10 * price.MEASURING_SECONDS)
    # Two of the front and a reference, three times each, in two workers.
    assert retraining == PricedPhase("retraining", pytest.approx(3 * 3 * 640 / 640 / 2))


def test_what_is_not_done_has_no_price(phases):
    supernet, networks = phases(confirm=0, latency="predicted")
    assert supernet.name == "supernet"
    assert networks.seconds == pytest.approx(10 * (128 + 360) / 3 / 640 / 2)
    thorough = "supernet:images=43080,calibration=128,short=640"
    longer, networks = phases(confirm=0, latency="predicted", estimator=thorough)
    each = (640 + (128 + 2 * 360) / 3) / 640
    assert networks.seconds == pytest.approx(10 * each / 2)
    assert longer.seconds == pytest.approx(40 * 1_077 / 64 + 24 * each)
    alone = "supernet:images=43080,calibration=128,zero_cost="
    shorter, networks = phases(confirm=0, latency="predicted", estimator=alone)
    assert networks.seconds == pytest.approx(10 * (128 + 360) / 3 / 640 / 2)
    assert shorter.seconds == pytest.approx(40 * 1_077 / 64)
    trained = 10 * (6_400 + 360 / 3) / 640 / 2
    short = {"estimator": "short:images=6400,most_epochs=6", "confirm": 0}
    (networks,) = phases(**short)
    assert networks.seconds == pytest.approx(trained + 10 * price.MEASURING_SECONDS)
    two = ["nas.testing.fakes:InstantDevice", "nas.testing.fakes:SecondDevice"]
    (networks,) = phases(**short, device=two)
    assert networks.seconds == pytest.approx(trained + 2 * 10 * price.MEASURING_SECONDS)


def test_a_device_is_examined_if_nothing_is_known_of_it(phases):
    names = [phase.name for phase in phases(device="onnxruntime:cpu")]
    assert names == ["supernet", "device", "10 networks", "retraining"]
    (device,) = open_components(
        dataclasses.replace(CONFIG, device="onnxruntime:cpu"), load_space("mixnet")
    ).devices
    DeviceProfile(device.device.conditions, 1.0, ()).save()
    names = [phase.name for phase in phases(device="onnxruntime:cpu")]
    assert names == ["supernet", "10 networks", "retraining"]


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
        space.decode(found.genotype) for found in sample_many(space, random.Random(0), 2, limits)
    ]
    before = torch.get_num_threads()
    first = price.first_steps(small, drawn) / small.recipe.batch_size
    assert 0 < price.further_steps(small, drawn[0], Resources(1)) < first
    assert price.further_steps(small, drawn[0], Resources(2)) > 0
    assert torch.get_num_threads() == before


def test_kernels_are_kept_from_the_first_step_on(monkeypatch):
    """Where the first kernel is compiled without it, oneDNN does not look for it again."""
    name = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
    monkeypatch.delenv(name, raising=False)
    known = []

    def built(*_, **__):
        known.append(name in os.environ)
        raise StopIteration

    monkeypatch.setattr(price, "build", built)
    space = load_space("mixnet")
    estimator = open_components(CONFIG, space).estimator
    network = space.decode(space.draw(random.Random(0)))
    with pytest.raises(RuntimeError):
        price.first_steps(estimator, [network])
    assert known == [True]


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
    phases = [PricedPhase(name, value) for name, value in zip(names, seconds, strict=True)]
    assert in_words(phases) == words
