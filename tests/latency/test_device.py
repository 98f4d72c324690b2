"""Measurements on this machine."""

import pytest

from nas.errors import MixnasError
from nas.ir import BatchNorm, walk
from nas.latency import MeasurementSettings, open_device
from nas.latency import tuning as tuning_module
from nas.latency.device import LocalDevice, measure_quietly, program_of, quieter, refuse_noise
from nas.latency.profile import DeviceProfile, LayerSignature, load_profile
from nas.latency.protocol import Effort
from nas.lowering import MERGE_ALL
from nas.spec import Input, load_network
from tests.latency.records import latency

QUICK = Effort(rounds=8, seconds=0.8, precision=0.015, warm_seconds=0.3)
SMALL = load_network("mixnet_s").replace(input=Input(resolution=64))


pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def few_layers(monkeypatch):
    """Let tuning look at one depthwise layer, one pointwise layer and one gate."""
    chosen, kinds = [], set()
    for node, shape in tuning_module.layers():
        layer = LayerSignature.of(node, shape)
        if layer.size == 7 and layer.kind not in kinds:
            kinds.add(layer.kind)
            chosen.append((node, shape))
    monkeypatch.setattr(tuning_module, "layers", lambda: iter(chosen))
    return kinds


@pytest.mark.parametrize("name", ["onnxruntime:cpu", "torch:cpu"])
def test_a_measurement_carries_its_conditions(name, few_layers):
    device = open_device(name, MeasurementSettings(threads=1))
    measured = device.measure(SMALL, QUICK)
    assert 0 < measured.p10_ms <= measured.median_ms <= measured.p90_ms
    assert measured.low_ms <= measured.high_ms
    assert measured.n >= 20
    assert (measured.device, measured.threads, measured.batch) == (name, 1, 1)
    assert (measured.resolution, measured.lowered, measured.source) == (64, True, "measured")
    assert measured.runtime.startswith(name.split(":")[0])
    assert measured.conditions == device.conditions
    assert measured.steady_ms > 0
    assert len(few_layers) == 3


def test_the_plain_form_is_slower(few_layers):
    times = {}
    for lowered in (True, False):
        device = open_device("onnxruntime:cpu", MeasurementSettings(threads=1, lowered=lowered))
        measured = measure_quietly(device, load_network("mixnet_m"), effort=QUICK)
        times[lowered] = measured.steady_ms / device.profile.reference_ms
        assert measured.lowered is lowered
    assert times[True] < times[False]


@pytest.mark.slow
def test_batches_and_int8_are_run():
    # Neither is tuned here: eight images a run, and eight bits a number.
    for settings in (
        MeasurementSettings(threads=1, batch=8, lowered=False),
        MeasurementSettings(threads=1, precision="int8"),
    ):
        measured = open_device("onnxruntime:cpu", settings).measure(SMALL, QUICK)
        assert (measured.batch, measured.precision) == (settings.batch, settings.precision)
        assert measured.median_ms > 0


def test_a_profile_is_made_once_for_each_set_of_conditions(few_layers):
    steps = []
    device = LocalDevice("onnxruntime:cpu", MeasurementSettings(threads=1))
    device.prepare(lambda done, total: steps.append((done, total)))
    assert steps[-1] == (3, 3)
    again = LocalDevice("onnxruntime:cpu", MeasurementSettings(threads=1))
    again.prepare(lambda done, total: pytest.fail("the profile was saved"))
    assert again.profile == device.profile
    assert (
        load_profile(
            open_device("onnxruntime:cpu", MeasurementSettings(threads=1, batch=2)).conditions
        )
        is None
    )


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


def test_programs_are_plain_or_lowered():
    plain, lowered = program_of(SMALL, None), program_of(SMALL, MERGE_ALL)
    assert repr(plain.tree) == repr(SMALL.tree())
    assert plain.shape == lowered.shape == (3, 64, 64)
    leaves = [layer.leaf for layer in walk(lowered.tree, lowered.shape)]
    assert not [leaf for leaf in leaves if isinstance(leaf, BatchNorm)]


def test_a_latency_at_the_usual_speed_is_the_ratio_times_the_usual_reference(monkeypatch):
    device = LocalDevice("onnxruntime:cpu", MeasurementSettings(threads=1, lowered=False))
    device._profile = DeviceProfile(device.conditions, reference_ms=3.0)
    monkeypatch.setattr(device, "reference", lambda: lambda: 4.0)
    measured = device.time(lambda: lambda: 2.0, 32, QUICK)
    assert (measured.median_ms, measured.reference_ms, measured.steady_ms) == (2.0, 4.0, 1.5)
    assert (measured.low_ms, measured.high_ms, measured.resolution) == (2.0, 2.0, 32)
    assert "the reference network took 1.33 times its usual time" in measured.noise
