import dataclasses

import pytest

from nas.accuracy import EstimateError
from nas.accuracy.base import PortableEstimator, StagedEstimator
from nas.cost import count
from nas.errors import MixnasError
from nas.spec import load_network
from nas.testing.fakes import (
    BrokenDevice,
    Hopeless,
    Instant,
    InstantDevice,
    Moody,
    Portable,
    Scripted,
    Staged,
)

SMALL, LARGE = load_network("mixnet_s"), load_network("mixnet_l")


def test_accuracy_grows_with_multiply_adds_and_follows_from_network_and_seed():
    assert Instant().estimate(LARGE, 0).accuracy > Instant().estimate(SMALL, 0).accuracy
    assert Instant().estimate(SMALL, 0) == Instant().estimate(SMALL, 0)
    assert Instant().estimate(SMALL, 0) != Instant().estimate(SMALL, 1)
    assert Instant().fingerprint() == {"estimator": "Instant"}


def test_latency_is_a_tenth_plus_one_millisecond_for_a_hundred_million_multiply_adds():
    latency = InstantDevice().measure(SMALL)
    expected = round(0.1 + count(SMALL).madds / 1e8, 4)
    assert (latency.median_ms, latency.steady_ms, latency.noise) == (expected, expected, ())
    assert latency.conditions == InstantDevice.conditions
    with pytest.raises(MixnasError, match="the board is gone"):
        BrokenDevice().prepare()


def test_failing_stand_ins_fail():
    with pytest.raises(EstimateError, match="cannot be learned"):
        Hopeless().estimate(SMALL, 0)
    with pytest.raises(EstimateError, match="loss is nan"):
        Scripted().estimate(SMALL, 13)
    with pytest.raises(SystemExit):
        Scripted().estimate(SMALL, 12)
    assert Scripted().estimate(SMALL, 42).accuracy == 0.42


def test_moods_follow_from_the_network():
    named = [SMALL.replace(num_classes=classes) for classes in range(2, 60)]
    diverging = next(spec for spec in named if int(spec.digest(), 16) % 6 == 0)
    with pytest.raises(EstimateError):
        Moody().estimate(diverging, 0)


def test_stages_grow_to_the_estimate():
    assert isinstance(Staged(), StagedEstimator)
    stages = list(Staged().estimates(SMALL, 0))
    final = Instant().estimate(SMALL, 0).accuracy
    assert [stage.accuracy for stage in stages] == pytest.approx([final / 3, 2 * final / 3, final])
    assert Staged().estimate(SMALL, 0) == dataclasses.replace(stages[-1])


def test_a_portable_estimator_needs_its_state(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path))
    fake = Portable()
    assert isinstance(fake, PortableEstimator)
    with pytest.raises(EstimateError, match="the state was lost"):
        fake.estimate(SMALL, 0)
    fake.import_state(fake.export_state())
    assert fake.estimate(SMALL, 0) == Instant().estimate(SMALL, 0)
