"""Measuring until the machine is quiet."""

import pytest

from nas.errors import MixnasError
from nas.latency.protocol import Effort
from nas.latency.quiet import measure_quietly, quieter, quietest, refuse_noise
from nas.spec import load_network
from tests.latency.records import latency

QUICK = Effort(rounds=8)
SMALL = load_network("mixnet_s").at(64)


def test_a_noisy_measurement_is_repeated_and_the_quietest_kept():
    class Noisy:
        def __init__(self, latencies):
            self.left = list(latencies)

        def measure(self, spec, effort):
            return self.left.pop(0)

    loud, less = latency(noise=("a", "b")), latency(noise=("a",))
    quiet = latency()
    assert measure_quietly(Noisy([loud, quiet, less]), SMALL, 3) == quiet
    assert measure_quietly(Noisy([loud, less, loud]), SMALL, 3) == less
    with pytest.raises(MixnasError, match="x was not measured on a quiet machine: a; b"):
        refuse_noise(loud, "x")
    refuse_noise(quiet, "x")


def test_a_measurement_with_fewer_remarks_or_a_faster_reference_is_quieter():
    assert quieter(latency(), latency(noise=("a",)))
    assert quieter(latency(reference_ms=3.9), latency(reference_ms=4.0))
    assert not quieter(latency(), latency())
    assert not quieter(latency(noise=("a",), reference_ms=1.0), latency())


@pytest.mark.parametrize(("attempts", "calls"), [(1, 1), (2, 2), (5, 4)])
def test_attempts_are_bounded(attempts, calls):
    class Noisy:
        def __init__(self):
            self.efforts = []

        def measure(self, spec, effort):
            self.efforts.append(effort)
            return latency(noise=("a",) * (4 - len(self.efforts)))  # the fourth is quiet

    device = Noisy()
    best = measure_quietly(device, SMALL, attempts, QUICK)
    assert device.efforts == [QUICK] * calls
    assert len(best.noise) == 4 - calls
    device = Noisy()
    measure_quietly(device, SMALL)
    assert device.efforts == [None] * 3


def test_anything_can_be_measured_until_it_is_quiet():
    left = [latency(noise=("a", "b")), latency(noise=("a",)), latency(), latency()]
    assert quietest(lambda: left.pop(0)).noise == ()
    assert len(left) == 1
