"""Measurements that outlive an interrupted fit."""

import json

import pytest

from nas.latency.prediction.kept import KeptLatencies
from nas.latency.profile import DeviceProfile
from nas.spec import load_network
from tests.latency.prediction.board import Board
from tests.latency.records import latency

SPEC = load_network("mixnet_s")


pytestmark = pytest.mark.usefixtures("own_cache")


def test_latencies_are_kept_for_the_device_in_its_state():
    kept = KeptLatencies(Board(), "space")
    assert kept.get(SPEC) is None
    kept.put(SPEC, latency(noise=("a",)))
    kept.put(SPEC, latency())
    kept.put(load_network("mixnet_m"), latency(steady_ms=9.0))
    again = KeptLatencies(Board(), "space")
    assert again.get(SPEC) == latency()
    assert again.get(load_network("mixnet_m")).steady_ms == 9.0
    assert KeptLatencies(Board(threads=4), "space").get(SPEC) is None

    class Examined(Board):
        @property
        def profile(self):
            return DeviceProfile(self.conditions, 1.01)

    assert KeptLatencies(Examined(), "space").get(SPEC) is None


def test_what_is_cleared_is_gone():
    kept = KeptLatencies(Board(), "space")
    kept.put(SPEC, latency())
    kept.clear()
    assert kept.get(SPEC) is None
    assert KeptLatencies(Board(), "space").get(SPEC) is None
    kept.clear()  # nothing is left to be removed


def test_a_damaged_file_is_not_used():
    kept = KeptLatencies(Board(), "space")
    kept.put(SPEC, latency())
    for text in ("{", "[]", json.dumps({SPEC.digest(): {"median_ms": 1}})):
        kept.path.write_text(text)
        assert KeptLatencies(Board(), "space").get(SPEC) is None


def test_fits_to_other_spaces_and_other_processes_are_left_alone():
    one, same, other = (KeptLatencies(Board(), space) for space in ("a", "a", "b"))
    one.put(SPEC, latency())
    same.put(load_network("mixnet_m"), latency())
    other.put(SPEC, latency())
    other.clear()
    again = KeptLatencies(Board(), "a")
    assert again.get(SPEC) == again.get(load_network("mixnet_m")) == latency()
