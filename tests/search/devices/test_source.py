import dataclasses

import pytest

from nas.errors import MixnasError, OutOfRangeError
from nas.limits import parse_limit
from nas.search.devices import SearchDevice, check_conditions
from nas.spec import load_network
from nas.testing.fakes import CONDITIONS, InstantDevice, SecondDevice

SPEC = load_network("mixnet_s")


class Board(InstantDevice):
    local = False


class Predicting:
    def __init__(self, error=None):
        self.error = error

    def predict(self, spec, choice):
        if self.error:
            raise self.error
        return dataclasses.replace(InstantDevice().measure(spec), source="predicted")


def test_only_what_is_measured_here_needs_quiet():
    assert SearchDevice("a", InstantDevice()).needs_quiet
    assert not SearchDevice("a", Board()).needs_quiet
    assert not SearchDevice("a", InstantDevice(), (), Predicting()).needs_quiet


def test_what_a_predictor_does_not_know_is_measured():
    assert SearchDevice("a", InstantDevice()).latency(SPEC).source == "measured"
    assert SearchDevice("a", InstantDevice(), (), Predicting()).latency(SPEC).source == "predicted"
    unsure = Predicting(OutOfRangeError("too unlike the others"))
    assert SearchDevice("a", InstantDevice(), (), unsure).latency(SPEC).source == "measured"


def test_the_limit_that_a_latency_breaks_is_told():
    limits = [parse_limit("latency", "2ms..9s"), parse_limit("latency@a", "3ms")]
    device = SearchDevice("a", InstantDevice(), limits)
    latency = InstantDevice().measure(SPEC)
    assert device.broken(dataclasses.replace(latency, steady_ms=2.5)) is None
    assert device.broken(dataclasses.replace(latency, steady_ms=1.0)) is limits[0]
    assert device.broken(dataclasses.replace(latency, steady_ms=4.0)) is limits[1]
    assert SearchDevice("a", InstantDevice()).broken(latency) is None


def test_the_conditions_of_every_device_are_recorded_and_compared(bench):
    devices = [SearchDevice("a", InstantDevice()), SearchDevice("b", SecondDevice())]
    study = bench(devices=devices).study
    check_conditions(study, devices)
    check_conditions(study, devices)
    facts = study.optuna_study.user_attrs
    assert facts["facts of latencies"]["device"] == CONDITIONS.device
    assert facts["facts of latencies on b"]["device"] == SecondDevice.name
    other = SecondDevice()
    other.conditions = dataclasses.replace(other.conditions, runtime="none 2")
    with pytest.raises(MixnasError, match=r"the latencies on b of this run .* runtime changed"):
        check_conditions(study, [devices[0], SearchDevice("b", other)])
