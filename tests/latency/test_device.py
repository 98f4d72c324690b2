"""Measuring on this machine: runtimes, profiles, what a latency carries."""

import json

import pytest

from nas.errors import MixnasError
from nas.latency import MeasurementSettings, open_device, usable_cores
from nas.latency import tuning as tuning_module
from nas.latency.conditions import Latency
from nas.latency.device import LocalDevice, measure_quietly, refuse_noise
from nas.latency.profile import Finding, LayerSignature, load_profile
from nas.latency.protocol import Effort
from nas.lowering import Form
from nas.spec import Input, load_network

QUICK = Effort(rounds=8, seconds=0.8, precision=0.015, warm_seconds=0.3)
SMALL = load_network("mixnet_s").replace(input=Input(resolution=64))


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def few_layers(monkeypatch):
    """Let tuning look at a depthwise, a pointwise and a gate layer only."""
    chosen, kinds = [], set()
    for node, shape in tuning_module.layers():
        layer = LayerSignature.of(node, shape)
        if layer.size == 7 and layer.kind not in kinds:
            kinds.add(layer.kind)
            chosen.append((node, shape))
    monkeypatch.setattr(tuning_module, "layers", lambda: iter(chosen))
    return kinds


def latency(**changes):
    values = {
        "device": "d",
        "runtime": "r 1",
        "machine": "m",
        "threads": 1,
        "batch": 1,
        "precision": "fp32",
        "lowered": True,
        "median_ms": 2.0,
        "p10_ms": 1.0,
        "p90_ms": 3.0,
        "low_ms": 1.9,
        "high_ms": 2.1,
        "n": 30,
        "steady_ms": 1.8,
        "reference_ms": 4.0,
        "noise": (),
        "resolution": 64,
        "source": "measured",
        "when": "2026-01-01T00:00:00+00:00",
    }
    return Latency(**{**values, **changes})


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


def test_all_usable_cores_are_the_default():
    assert open_device("onnxruntime:cpu").conditions.threads == usable_cores()


def test_a_profile_is_made_once_for_each_set_of_conditions(few_layers):
    steps = []
    device = LocalDevice("onnxruntime:cpu", MeasurementSettings(threads=1))
    device.prepare(lambda done, total: steps.append((done, total)))
    assert steps[-1] == (3, 3)
    again = LocalDevice("onnxruntime:cpu", MeasurementSettings(threads=1))
    again.prepare(lambda done, total: pytest.fail("it was known"))
    assert again.profile == device.profile
    assert (
        load_profile(
            open_device("onnxruntime:cpu", MeasurementSettings(threads=1, batch=2)).conditions
        )
        is None
    )


def test_a_damaged_or_foreign_profile_is_made_again(few_layers):
    device = LocalDevice("onnxruntime:cpu", MeasurementSettings(threads=1))
    path = device.profile.save()
    content = json.loads(path.read_text())
    path.write_text("{")
    assert load_profile(device.conditions) is None
    path.write_text(json.dumps({**content, "schema": "mixnas.device/0"}))
    assert load_profile(device.conditions) is None
    content["conditions"]["machine"] = "another"
    path.write_text(json.dumps(content))
    assert load_profile(device.conditions) is None


def test_layers_take_the_form_of_the_most_similar_one():
    device = LocalDevice("onnxruntime:cpu", MeasurementSettings(threads=1))
    from nas.ir import Conv, MixConv, SqueezeExcite
    from nas.latency.profile import DeviceProfile

    def layer(channels, size, kernel, **more):
        return LayerSignature("depthwise", channels, size, kernel, groups=2, aligned=False, **more)

    profile = DeviceProfile(
        device.conditions,
        1.0,
        (
            Finding(layer(480, 14, 9), "padded", {}),
            Finding(layer(144, 56, 5), "merge", {}),
            Finding(layer(144, 56, 5, stride=2), "split", {}),
            Finding(LayerSignature("gate", 480, 14), "wide", {}),
            Finding(LayerSignature("gate", 144, 56), "plain", {}),
        ),
    )

    def mix(channels, kernels, stride=1):
        width = channels // len(kernels)
        return MixConv(tuple(Conv(width, width, k, stride, width) for k in kernels))

    assert profile.form(mix(400, (3, 9)), (400, 14, 14)) == Form((2,), padded=True)
    assert profile.form(mix(120, (3, 5)), (120, 56, 56)) == Form((2,))
    assert profile.form(mix(120, (3, 5), 2), (120, 56, 56)) == Form((1, 1))
    se = SqueezeExcite(Conv(480, 20), Conv(20, 480), "relu")
    assert profile.wide_gate(se, (480, 14, 14))
    assert not profile.wide_gate(se, (480, 56, 56))
    # Nothing is known of 1x1 convolutions: they are written as without a profile.
    assert profile.form(MixConv((Conv(32, 64),) * 2), (64, 14, 14)) == Form((2,))


def test_unknown_devices_are_refused():
    for name, words in {
        "onnxruntime:gpu": "unknown ONNX Runtime execution provider 'gpu'.*allowed: .*cpu",
        "onyxruntime:cpu": "unknown device 'onyxruntime:cpu'.*onnxruntime:cpu, torch:cpu",
        "torch": "says no place",
        "torch:tpu": "unknown place 'tpu'.*allowed: cpu, cuda",
    }.items():
        with pytest.raises(MixnasError, match=words):
            open_device(name)
    with pytest.raises(MixnasError, match="int8 runs in ONNX Runtime only"):
        open_device("torch:cpu", MeasurementSettings(precision="int8"))


def test_cuda_is_refused_where_there_is_none():
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(MixnasError, match="finds no CUDA device here; use torch:cpu"):
        open_device("torch:cuda")


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


def test_conditions_tell_how_they_differ():
    one = latency().conditions
    other = latency(threads=4, runtime="r 2").conditions
    assert one.differences(one) == []
    assert one.differences(other) == ["runtime r 2, not r 1", "threads 4, not 1"]
    assert one.digest() != other.digest()
