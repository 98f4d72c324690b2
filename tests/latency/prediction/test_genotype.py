"""Latency of genotypes, against the model of whole networks."""

import dataclasses
import math
import random
from types import SimpleNamespace

import numpy as np
import pytest

from nas.ir import Concat, Conv, Seq
from nas.latency.prediction import genotype as genotype_module
from nas.latency.prediction.genotype import GenotypeLatency
from nas.latency.prediction.model import LatencyModel
from nas.latency.prediction.predictor import network_features, tree_features
from nas.lowering import MERGE_ALL
from nas.space import load_space, sample
from nas.testing.fakes import InstantDevice
from tests.latency.prediction.board import CONDITIONS, predictor_of
from tests.space.test_space import tiny

mixnet = load_space("mixnet")


def genotypes(seed, n, space=mixnet):
    rng = random.Random(seed)
    return [sample(space, rng).genotype for _ in range(n)]


def whole(space, found, conditions=CONDITIONS):
    return [network_features(space.decode(g), MERGE_ALL, conditions) for g in found]


@pytest.mark.parametrize("space", [mixnet, tiny, load_space("mnasnet")], ids=lambda s: s.name)
@pytest.mark.parametrize("changes", [{}, {"lowered": False}, {"batch": 4}])
def test_the_parts_sum_to_the_whole(space, changes):
    conditions = dataclasses.replace(CONDITIONS, **changes)
    learned = genotypes(0, 30, space)
    latencies = np.random.default_rng(0).uniform(1, 9, 30)
    model = LatencyModel(whole(space, learned, conditions), latencies)
    predictor = predictor_of(whole(space, learned, conditions), latencies, conditions)
    known = GenotypeLatency(space, MERGE_ALL, conditions, predictor)
    fresh = genotypes(1, 10, space)
    expected = model.predict(whole(space, fresh, conditions))
    assert [known(g) for g in fresh] == pytest.approx(expected, rel=1e-6)


def test_parts_may_end_in_branches_or_do_nothing():
    both = Concat((("a", Conv(3, 4)), ("b", Conv(3, 8))))
    parts = (("both", both), ("nothing", Seq(())), ("last", Seq((("conv", Conv(12, 5)),))))
    spec = SimpleNamespace(in_shape=(3, 8, 8), parts=lambda: parts)
    known = GenotypeLatency(mixnet, MERGE_ALL, CONDITIONS)
    expected = tree_features(Seq(parts), (3, 8, 8), MERGE_ALL, CONDITIONS)
    assert known._features_of(spec, "merged") == expected


def measured(found, noise=()):
    device = InstantDevice()
    return [(g, dataclasses.replace(device.measure(mixnet.decode(g)), noise=noise)) for g in found]


def test_of_several_forms_the_fastest_is_predicted():
    found = genotypes(5, 40)
    known = GenotypeLatency(mixnet, MERGE_ALL, CONDITIONS)
    pairs = []
    for genotype, latency in measured(found):
        slower = {"merged": 1.0, "as trained": 1.5 + len(pairs) % 3}
        pairs.append((genotype, latency.chosen_among("merged", slower)))
    assert known.learn(pairs)
    assert known._forms == ["merged"]  # the other one was never the fastest
    for genotype, latency in pairs[:10]:
        spec, model = mixnet.decode(genotype), known._model
        totals = {
            name: float(model.predict([known._features_of(spec, name)])[0])
            for name in ("merged", "as trained")
        }
        assert min(totals, key=totals.get) == "merged"
        assert known(genotype) == pytest.approx(totals["merged"], rel=1e-6)
        assert totals["merged"] == pytest.approx(latency.steady_ms, rel=0.2)
        assert totals["as trained"] > 1.3 * totals["merged"]


def test_multiply_adds_stand_in_until_there_are_measurements():
    known = GenotypeLatency(mixnet, MERGE_ALL, CONDITIONS)
    found = genotypes(0, 4)
    assert known(found[0]) == mixnet.cost(found[0]).madds
    assert not known.learn(measured(found[:3]))
    assert known(found[0]) == mixnet.cost(found[0]).madds
    assert known.learn(measured(found))
    assert known(found[0]) == pytest.approx(measured(found)[0][1].steady_ms, rel=0.2)


def test_what_is_measured_is_learned():
    known = GenotypeLatency(mixnet, MERGE_ALL, CONDITIONS)
    found = genotypes(2, 60)
    assert known.learn(measured(found))
    fresh = measured(genotypes(3, 20))
    errors = [abs(known(g) / latency.steady_ms - 1) for g, latency in fresh]
    assert np.median(errors) < 0.1
    assert max(errors) < 0.3


def test_it_learns_when_there_is_more_alone():
    known = GenotypeLatency(mixnet, MERGE_ALL, CONDITIONS)
    found = measured(genotypes(0, 12))
    assert known.learn(found[:6])
    before = known(found[0][0])
    assert not known.learn(found[:6])
    assert known(found[0][0]) == before
    assert known.learn(found)
    assert known(found[0][0]) != before


def test_the_same_measurements_teach_the_same():
    found = measured(genotypes(0, 10))
    at_once, in_turn = (GenotypeLatency(mixnet, MERGE_ALL, CONDITIONS) for _ in range(2))
    at_once.learn(found)
    for n in range(1, 11):
        in_turn.learn(found[:n])
    fresh = genotypes(1, 5)
    assert [at_once(g) for g in fresh] == pytest.approx([in_turn(g) for g in fresh], rel=1e-9)


def test_noisy_measurements_count_less():
    found = genotypes(2, 40)
    right = measured(found[:20])
    errors = []
    for noise in ((), ("others used the processor",)):
        wrong = [
            (g, dataclasses.replace(latency, steady_ms=2 * latency.steady_ms))
            for g, latency in measured(found[20:], noise)
        ]
        known = GenotypeLatency(mixnet, MERGE_ALL, CONDITIONS)
        known.learn([*right, *wrong])
        errors.append(np.mean([abs(known(g) / latency.steady_ms - 1) for g, latency in right]))
    believed, doubted = errors
    assert doubted < 0.1
    assert doubted < believed / 2


def test_a_predictor_does_not_learn():
    predictor = predictor_of(whole(mixnet, genotypes(0, 20)), np.linspace(1, 5, 20))
    known = GenotypeLatency(mixnet, MERGE_ALL, CONDITIONS, predictor)
    found = genotypes(1, 10)
    before = [known(g) for g in found]
    assert not known.learn(measured(found))
    assert [known(g) for g in found] == before


def test_it_learns_again_when_there_is_a_twentieth_more():
    known = GenotypeLatency(tiny, MERGE_ALL, CONDITIONS)
    found = list(dict.fromkeys(genotypes(0, 400, tiny)))[:44]
    assert len(found) == 44
    device = InstantDevice()
    pairs = [(genotype, device.measure(tiny.decode(genotype))) for genotype in found]
    # One more of 20 is a twentieth, of 21 to 40 two are, of 42 three.
    learned = [n for n in range(1, 45) if known.learn(pairs[:n])]
    assert learned == [*range(4, 22), *range(23, 42, 2), 44]


def taught(factors, n=40):
    """Return what has learned from networks whose latency is off by factors, one by one."""
    known = GenotypeLatency(mixnet, MERGE_ALL, CONDITIONS)
    found = measured(genotypes(4, n))
    assert known.learn(found[: n - len(factors)])
    for i, factor in enumerate(factors, start=n - len(factors)):
        genotype, latency = found[i]
        off = dataclasses.replace(latency, steady_ms=factor * known(genotype))
        known.learn([*found[:i], (genotype, off)])
    return known


def test_nothing_is_known_of_the_errors_of_a_fit_to_four_networks():
    known = GenotypeLatency(mixnet, MERGE_ALL, CONDITIONS)
    assert known.learn(measured(genotypes(0, 4)))
    assert known.ready
    assert known.uncertainty == math.inf


@pytest.mark.parametrize(
    ("factors", "uncertainty"),
    [
        ([1.0] * 3, math.inf),  # 4 are required
        ([1.0, 1.0, 1.0, 1.25], 0.2),  # the largest error of fewer than 8
        ([1.0] * 7 + [2.0], 0.0),  # one of 8 may be wrong
        ([1.0] * 6 + [2.0, 0.5], 0.5),
        ([1.25] * 8, 0.2),
        ([0.8] * 8, 0.25),
        ([2.0, 0.5] + [1.0] * 8, 0.0),  # the latest count
    ],
)
def test_predictions_before_measurements_tell_its_uncertainty(factors, uncertainty):
    assert taught(factors).uncertainty == pytest.approx(uncertainty, abs=1e-9)


def test_networks_that_were_measured_before_do_not_make_it_surer():
    known = taught([1.0] * 3)
    again = measured(genotypes(4, 40))
    for _ in range(3):
        known.learn(again)
    assert known.uncertainty == math.inf


def test_a_predictor_was_checked_when_it_was_made():
    predictor = predictor_of(whole(mixnet, genotypes(0, 20)), np.linspace(1, 5, 20))
    assert GenotypeLatency(mixnet, MERGE_ALL, CONDITIONS, predictor).uncertainty == 0


def test_a_network_that_comes_again_takes_no_more_memory():
    known = GenotypeLatency(mixnet, MERGE_ALL, CONDITIONS)
    found = genotypes(0, 8)
    known.learn(measured(found))
    latencies = [known(g) for g in found]
    kept = len(known._features)
    assert [known(g) for g in found] == latencies
    assert len(known._features) == kept
    # Of 8 networks, the pool is shared, and so are the classifiers.
    parts = {(str(part), shape) for part, shape in known._features}
    assert len(parts) == kept


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(genotype_module, "KEPT", 60)
    known = GenotypeLatency(mixnet, MERGE_ALL, CONDITIONS)
    known.learn(measured(genotypes(0, 8)))
    free = GenotypeLatency(mixnet, MERGE_ALL, CONDITIONS)
    free.learn(measured(genotypes(0, 8)))
    for genotype in genotypes(1, 60):
        assert known(genotype) == pytest.approx(free(genotype), rel=1e-9)
        assert len(known._features) <= 60
        assert len(known._parts) <= 60
