"""Predictors, on a device whose latency is a known function of the network."""

import dataclasses
import json
import random

import numpy as np
import pytest

from nas.errors import MixnasError
from nas.latency.conditions import Conditions, Latency, utc_now
from nas.latency.prediction.features import latency_features
from nas.latency.prediction.fitting import design, draw, fit_predictor
from nas.latency.prediction.model import LatencyModel
from nas.latency.prediction.predictor import (
    error_card,
    load_predictor,
    network_features,
    space_digest,
)
from nas.latency.profile import DeviceProfile
from nas.limits import parse_limits
from nas.lowering import MERGE_ALL, lowered_tree
from nas.space import load_space
from nas.spec import load_network

CONDITIONS = Conditions("board:cpu", "runtime 1", "board", 2, 1, "fp32", True)
SPACE = load_space("mixnet")


class Board:
    """Measures without a clock: so many ms a unit of work, and a little noise."""

    name = "board:cpu"

    def __init__(self, noise=0.01, **changes):
        self.conditions = dataclasses.replace(CONDITIONS, **changes)
        self.rng = np.random.default_rng(0)
        self.noise = noise
        self.measured = 0

    def prepare(self, step=None):
        pass

    def form_choice(self):
        return MERGE_ALL

    @property
    def profile(self):
        return DeviceProfile(self.conditions, 1.0)

    def milliseconds(self, spec):
        work = network_features(spec, MERGE_ALL, self.conditions)
        compute = 2e-8 * work["pointwise madds"] + 4e-6 * work.get("swish elements", 0)
        kernels = 1e-8 * work["depthwise taps"]
        memory = 3e-7 * work["elements"]
        return 0.3 + compute + kernels + memory + 0.01 * work["layers"] + (compute * memory) ** 0.5

    def measure(self, spec, effort=None):
        self.measured += 1
        ms = self.milliseconds(spec) * (1 + self.noise * self.rng.standard_normal())
        return Latency(
            **dataclasses.asdict(self.conditions),
            median_ms=ms,
            p10_ms=ms,
            p90_ms=ms,
            low_ms=ms,
            high_ms=ms,
            n=30,
            steady_ms=ms,
            reference_ms=1.0,
            noise=(),
            resolution=spec.input.resolution,
            source="measured",
            when=utc_now(),
        )


@pytest.fixture(scope="module")
def fitted():
    board = Board()
    return board, fit_predictor(board, SPACE, 60, random.Random(0), checks=40)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path))


def test_fresh_networks_are_predicted(fitted):
    board, predictor = fitted
    assert board.measured == 100
    assert predictor.card.n == 40
    assert predictor.card.within_10 >= 0.95
    assert predictor.card.within_5 >= 0.8
    assert predictor.card.spearman >= 0.97


def test_a_prediction_says_so_and_carries_its_error(fitted):
    board, predictor = fitted
    spec = load_network("mixnet_m")
    predicted = predictor.predict(spec, MERGE_ALL)
    assert (predicted.source, predicted.n) == ("predicted", 0)
    assert predicted.low_ms <= predicted.p10_ms <= predicted.p90_ms <= predicted.high_ms
    assert predicted.high_ms > predicted.low_ms
    assert predicted.median_ms == pytest.approx(board.milliseconds(spec), rel=0.15)


def test_a_predictor_is_kept_and_says_the_same(fitted):
    _, predictor = fitted
    path = predictor.save()
    again = load_predictor(Board(), SPACE)
    spec = load_network("mixnet_s")
    first, second = (p.predict(spec, MERGE_ALL).median_ms for p in (predictor, again))
    assert first == second
    # Another number of classes is the same space.
    assert load_predictor(Board(), SPACE.with_classes(10)) == again
    path.write_text("{")
    with pytest.raises(MixnasError, match="there is no latency predictor for 'mixnet'"):
        load_predictor(Board(), SPACE)


def test_a_predictor_for_other_conditions_is_refused(fitted):
    _, predictor = fitted
    predictor.save()
    with pytest.raises(MixnasError, match=r"was made for threads 2, not 4\. Make one .*device fit"):
        load_predictor(Board(threads=4), SPACE)
    with pytest.raises(MixnasError, match="runtime runtime 1, not runtime 2"):
        load_predictor(Board(runtime="runtime 2"), SPACE)
    with pytest.raises(MixnasError, match="there is no latency predictor for 'mnasnet'"):
        load_predictor(Board(), load_space("mnasnet"))


def test_a_device_that_lowers_otherwise_needs_another_one(fitted):
    _, predictor = fitted
    path = predictor.save()
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "profile_digest": "0" * 16}))
    with pytest.raises(MixnasError, match="was examined anew since its latency predictor was made"):
        load_predictor(Board(), SPACE)


def test_designed_networks_span_the_costs_within_limits():
    limits = parse_limits(["madds=200M..400M"])
    rng = random.Random(0)
    specs = design(SPACE, 20, rng, limits)
    from nas.cost import count

    madds = sorted(count(spec).madds for spec in specs)
    assert madds[0] >= 200e6
    assert madds[-1] <= 400e6
    assert madds[-1] - madds[0] > 150e6
    assert len({spec.digest() for spec in specs}) == 20
    assert [s.digest() for s in design(SPACE, 20, random.Random(0), limits)] == [
        s.digest() for s in specs
    ]
    assert len(draw(SPACE, 3, rng)) == 3


def test_fresh_networks_are_fresh():
    specs = design(SPACE, 10, random.Random(0))
    known = [spec.digest() for spec in specs]
    fresh = draw(SPACE, 20, random.Random(0), without=known)
    assert len({spec.digest() for spec in fresh} - set(known)) == 20


def test_values_all_alike_have_no_rank():
    card = error_card(np.ones(9), np.linspace(1, 2, 9), np.ones(9))
    assert card.spearman is None
    assert json.dumps(dataclasses.asdict(card), allow_nan=False)


def test_error_cards():
    measured = np.array([10.0, 20.0, 30.0, 40.0])
    predicted = measured * np.array([1.04, 0.92, 1.2, 1.0])
    card = error_card(predicted, measured, np.array([100, 101, 200, 300]))
    assert (card.within_5, card.within_10) == (0.5, 0.75)
    assert card.spearman == 1.0
    assert card.errors == (-0.08, 0.0, 0.04, 0.2)
    assert card.spearman_in_band is None  # too few for a rank correlation
    assert card.mean_error == 0.08


def test_spaces_are_told_apart_by_what_they_hold():
    digests = {space_digest(load_space(name)) for name in ("mixnet", "mixnet_ladder", "mnasnet")}
    assert len(digests) == 3
    assert space_digest(load_space("mixnet")) in digests


def test_features_are_sums_over_layers():
    spec = load_network("mobilenet_v1")
    tree = lowered_tree(spec.tree(), spec.in_shape)
    work = latency_features(tree, spec.in_shape)
    assert work["linear weights"] == 1024 * 1000
    assert work["pointwise madds"] == sum(
        c * d * s * s
        for c, d, s in [
            (32, 64, 112),
            (64, 128, 56),
            (128, 128, 56),
            (128, 256, 28),
            (256, 256, 28),
            (256, 512, 14),
            *[(512, 512, 14)] * 5,
            (512, 1024, 7),
            (1024, 1024, 7),
        ]
    )
    assert latency_features(tree, spec.in_shape, batch=4)["elements"] == 4 * work["elements"]


def test_the_same_data_give_the_same_model():
    rng = np.random.default_rng(0)
    features = [{"a": float(a), "b": float(b)} for a, b in rng.uniform(1, 9, (30, 2))]
    latencies = np.array([2 * row["a"] + row["b"] for row in features])
    first, second = (LatencyModel(features, latencies).predict(features) for _ in range(2))
    assert (first == second).all()
    assert np.abs(first / latencies - 1).max() < 0.05
    # What is trusted less counts less.
    wrong = np.concatenate([latencies, 3 * latencies])
    trust = np.repeat([1.0, 0.01], len(latencies))
    guarded = LatencyModel(features * 2, wrong, trust).predict(features)
    assert np.abs(guarded / latencies - 1).max() < 0.1
    unseen = LatencyModel(features, latencies).predict([{"a": 1.0, "b": 1.0, "c": 9.0}])
    assert unseen[0] == pytest.approx(3.0, rel=0.3)
