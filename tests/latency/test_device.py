"""Measurements on this machine."""

import dataclasses
from contextlib import contextmanager

import numpy as np
import pytest

from nas.errors import MixnasError, UnrunnableError
from nas.ir import BatchNorm, walk
from nas.latency import MeasurementSettings, open_device, usable_cores
from nas.latency import device as device_module
from nas.latency import tuning as tuning_module
from nas.latency.deployment import ChosenForm, NetworkForm, program_of
from nas.latency.device import (
    LocalDevice,
    ProfilingDevice,
    check_measurable,
)
from nas.latency.profile import DeviceProfile, Finding, LayerSignature, load_profile
from nas.latency.protocol import Effort, Timing
from nas.latency.quiet import measure_quietly
from nas.lowering import MERGE_ALL
from nas.machine import MachineLoad
from nas.named import TimmNetwork
from nas.spec import Input, load_network
from nas.testing.fakes import InstantDevice

QUICK = Effort(rounds=8, seconds=0.8, precision=0.015, warm_seconds=0.3)
SMALL = load_network("mixnet_s").replace(input=Input(resolution=64))


pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def few_layers(monkeypatch):
    """Let tuning look at one depthwise layer, one pointwise layer and one gate."""
    chosen, kinds = [], set()
    for node, shape in tuning_module.sampled_layers():
        layer = LayerSignature.of(node, shape)
        if layer.size == 7 and layer.kind not in kinds:
            kinds.add(layer.kind)
            chosen.append((node, shape))
    monkeypatch.setattr(tuning_module, "sampled_layers", lambda: iter(chosen))
    return kinds


@pytest.mark.parametrize(
    "name", ["onnxruntime:cpu", pytest.param("torch:cpu", marks=pytest.mark.slow)]
)
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


@pytest.mark.slow
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
    assert (3, 3) in steps  # not the last one if a layer was disturbed, and measured again
    again = LocalDevice("onnxruntime:cpu", MeasurementSettings(threads=1))
    again.prepare(lambda done, total: pytest.fail("the profile was saved"))
    assert again.profile == device.profile
    assert (
        load_profile(
            open_device("onnxruntime:cpu", MeasurementSettings(threads=1, batch=2)).conditions
        )
        is None
    )


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


def test_measurements_and_the_usual_reference_follow_the_same_pauses(monkeypatch):
    settings = MeasurementSettings(threads=1, lowered=False, interval_ms=200.0)
    device, intervals = LocalDevice("onnxruntime:cpu", settings), []

    def time_in_turns(run, reference, effort, interval_ms):
        intervals.append(interval_ms)
        return Timing(tuple(map(np.array, ROUNDS)), tuple(map(np.array, REFERENCE_ROUNDS)))

    monkeypatch.setattr(device_module, "time_in_turns", time_in_turns)
    monkeypatch.setattr(LocalDevice, "_load_reference", lambda self: lambda: 1.0)
    found = device.time(lambda: lambda: 1.0, 96, QUICK)
    assert intervals == [200.0, 200.0]
    assert found.conditions == device.conditions == device.profile.conditions
    assert found.interval_ms == 200.0
    again = LocalDevice("onnxruntime:cpu", dataclasses.replace(settings, interval_ms=0.0))
    assert load_profile(again.conditions) is None  # the profile of one interval is not another's


# -- fixed numbers -------------------------------------------------------------------------------


@pytest.fixture
def device():
    """Return a device whose reference network usually takes 3 ms."""
    device = LocalDevice("onnxruntime:cpu", MeasurementSettings(threads=1, lowered=False))
    device._profile = DeviceProfile(device.conditions, reference_ms=3.0)
    return device


ROUNDS = ([1.0, 2, 9], [2, 4, 6], [3, 5, 7])
REFERENCE_ROUNDS = ([1.0, 1], [2, 2], [2, 4])


@pytest.fixture
def uneven(monkeypatch):
    """Let every measurement have the same uneven times; return the efforts of measurements."""
    efforts = []

    def time_in_turns(run, reference, effort, interval_ms):
        assert interval_ms == 0
        efforts.append(effort)
        return Timing(tuple(map(np.array, ROUNDS)), tuple(map(np.array, REFERENCE_ROUNDS)))

    monkeypatch.setattr(device_module, "time_in_turns", time_in_turns)
    monkeypatch.setattr(LocalDevice, "reference", lambda self: lambda: 1.0)
    monkeypatch.setattr(MachineLoad, "remarks", lambda self: ["busy"])
    return efforts


def test_figures_of_uneven_times(device, uneven):
    found = device.time(lambda: lambda: 1.0, 96, None)
    assert (found.p10_ms, found.median_ms, found.p90_ms) == (1.8, 4.0, 7.4)
    assert (found.low_ms, found.high_ms, found.n) == (2.0, 5.0, 9)
    assert (found.reference_ms, found.steady_ms) == (2.0, 6.0)  # a ratio of 2, of usually 3 ms
    assert (found.resolution, found.source, found.precision) == (96, "measured", "fp32")
    assert found.noise[-1] == "busy"
    assert "the median is uncertain by 38%" in found.noise
    device.time(lambda: lambda: 1.0, 96, QUICK)
    assert uneven == [Effort(), QUICK]


def test_too_many_threads_are_noise(device, uneven):
    device.runtime.threads = usable_cores() + 1
    found = device.time(lambda: lambda: 1.0, 96, None)
    assert found.noise[-1].endswith("that this process may use")


@pytest.mark.skipif(usable_cores() < 2, reason="needs two cores")
def test_pinning_is_not_mistaken_for_a_lack_of_cores(device, uneven):
    # The calling thread may use one core only while its runtime has pinned the other threads.
    device.runtime.threads = 2
    assert device.runtime.pins_threads
    assert device.time(lambda: lambda: 1.0, 96, None).noise[-1] == "busy"


def test_the_usual_time_of_the_reference_is_a_lower_quartile(device, uneven, monkeypatch):
    monkeypatch.setattr(LocalDevice, "_load_reference", lambda self: lambda: 1.0)
    # A quarter of the way through 1, 2 and 3.
    assert device._usual_reference_ms() == 1.5
    assert uneven == [Effort(rounds=16, seconds=1.5, precision=0.0, warm_seconds=1.5)]


@pytest.mark.parametrize(
    ("lowered", "tunable", "times", "tuned", "usual"),
    [
        (True, True, [2.0, 1.00004], True, 1.0),
        (True, True, [1.23456, 3.0], True, 1.2346),
        (False, True, [2.0, 1.0], False, 2.0),
        (True, False, [2.0, 1.0], False, 2.0),
    ],
)
def test_what_an_examination_finds(monkeypatch, lowered, tunable, times, tuned, usual):
    device = LocalDevice("onnxruntime:cpu", MeasurementSettings(threads=1, lowered=lowered))
    device.runtime.tunable = tunable
    finding = Finding(LayerSignature("gate", 8, 7), "wide", {"wide": 1.0})
    monkeypatch.setattr(device, "_usual_reference_ms", lambda: times.pop(0))
    monkeypatch.setattr(device_module, "tune", lambda runtime, step: [finding])
    profile = device.examine()
    assert profile.findings == ((finding,) if tuned else ())
    assert profile.reference_ms == usual
    assert load_profile(device.conditions) == profile == device.profile
    assert device.form_choice() is (profile if lowered else MERGE_ALL)


@pytest.mark.parametrize("lowered", [True, False])
def test_the_network_that_is_profiled_is_the_one_that_is_measured(device, monkeypatch, lowered):
    profiled = []

    def operator_ms(program):
        profiled.append(program)
        return {"Mul": 1.0}

    device.settings = dataclasses.replace(device.settings, lowered=lowered)
    forms = [NetworkForm("as trained", "slow"), NetworkForm("merged", "fast")]
    monkeypatch.setattr(device_module, "network_forms", lambda spec, profile: forms)
    monkeypatch.setattr(
        device_module, "fastest_form", lambda forms, *_: (ChosenForm(forms[-1], {}), 0)
    )
    monkeypatch.setattr(device_module, "program_of", lambda spec, choice: "plain")
    monkeypatch.setattr(type(device), "profile", "known")
    monkeypatch.setattr(device.runtime, "operator_ms", operator_ms, raising=False)
    assert device.operator_ms(load_network("mixnet_s")) == {"Mul": 1.0}
    assert profiled == ["fast" if lowered else "plain"]


def test_a_runtime_without_a_profiler_tells_nothing():
    device = LocalDevice("torch:cpu", MeasurementSettings(threads=1))
    assert isinstance(device, ProfilingDevice)
    assert device.operator_ms(load_network("mixnet_s")) == {}


@pytest.mark.parametrize(
    ("name", "used"),
    [
        ("onnxruntime:cpu", "cpu"),
        ("onnxruntime:cuda", "cuda"),
        ("onnxruntime:tensorrt", "cuda"),
        ("torch:cuda", "cuda"),
        ("onnxruntime:openvino", "cpu"),
    ],
)
def test_the_machine_is_held_for_the_processor_that_computes(device, monkeypatch, name, used):
    held = []

    @contextmanager
    def machine_for(use, device):
        held.append((use, device))
        yield

    @contextmanager
    def pinned(threads, alone):
        held.append((threads, alone))
        yield

    monkeypatch.setattr(device_module, "machine_for", machine_for)
    monkeypatch.setattr(device_module, "pinned", pinned)
    device.name = name
    with device._measuring():
        held.append("block")
    assert held == [("measuring", used), (1, True), "block"]


def test_outputs_are_checked_again_where_networks_are_written_differently(few_layers, monkeypatch):
    settings = MeasurementSettings(threads=1)
    profile = LocalDevice("onnxruntime:cpu", settings).profile
    checks = []
    monkeypatch.setattr(device_module, "check_outputs", lambda *given: checks.append(given))
    assert LocalDevice("onnxruntime:cpu", settings).profile == profile
    assert checks == []
    monkeypatch.setattr(device_module, "sources_digest", lambda: "others")
    device = LocalDevice("onnxruntime:cpu", settings)
    assert device.profile == profile
    assert [runtime for runtime, _ in checks] == [device.runtime]
    assert LocalDevice("onnxruntime:cpu", settings).profile == profile
    assert len(checks) == 1


def test_a_profile_that_is_made_anew_during_the_check_is_taken(few_layers, monkeypatch):
    settings = MeasurementSettings(threads=1)
    profile = LocalDevice("onnxruntime:cpu", settings).profile
    newer = dataclasses.replace(profile, reference_ms=2 * profile.reference_ms)
    monkeypatch.setattr(device_module, "sources_digest", lambda: "others")
    monkeypatch.setattr(device_module, "check_outputs", lambda *given: newer.save())
    assert LocalDevice("onnxruntime:cpu", settings).profile == newer


def test_a_runtime_whose_outputs_are_wrong_now_is_refused(few_layers, monkeypatch):
    settings = MeasurementSettings(threads=1)
    LocalDevice("onnxruntime:cpu", settings).prepare()
    monkeypatch.setattr(device_module, "sources_digest", lambda: "others")
    device = LocalDevice("onnxruntime:cpu", settings)
    outputs = device.runtime.outputs
    monkeypatch.setattr(device.runtime, "outputs", lambda *given: outputs(*given) + 0.01)
    for _ in range(2):
        with pytest.raises(MixnasError, match="outputs of batch 1 differ"):
            device.measure(SMALL, QUICK)


def test_a_runtime_that_computes_something_else_is_refused_before_its_first_latency(monkeypatch):
    settings = MeasurementSettings(threads=1, batch=7)
    device = LocalDevice("onnxruntime:cpu", settings)
    outputs = device.runtime.outputs
    monkeypatch.setattr(device.runtime, "outputs", lambda *given: outputs(*given) + 0.01)
    with pytest.raises(
        MixnasError, match=r"^onnxruntime:cpu \(onnxruntime .*outputs of batch 1 differ"
    ):
        device.measure(SMALL, QUICK)
    assert load_profile(device.conditions) is None


TIMM_NETWORK = TimmNetwork("timm:resnet18", 7, 32)


@pytest.mark.parametrize(("lowered", "form"), [(True, "as trained"), (False, "")])
def test_networks_of_timm_have_one_form(stand_in_for_timm, monkeypatch, lowered, form):
    device = LocalDevice("torch:cpu", MeasurementSettings(threads=1, lowered=lowered))
    profile = DeviceProfile(device.conditions, 1.0, ())
    monkeypatch.setattr(device, "_profile", profile)
    check_measurable(device, TIMM_NETWORK)
    measured = measure_quietly(device, TIMM_NETWORK, 1, QUICK)
    assert measured.median_ms > 0
    assert (measured.form, measured.resolution) == (form, 32)
    assert measured.conditions == device.conditions


def test_devices_without_a_way_to_measure_timms_networks_say_so():
    message = "measures networks that have a spec, and timm:resnet18 has none; measure it on this"
    with pytest.raises(UnrunnableError, match=message):
        check_measurable(InstantDevice(), TIMM_NETWORK)
    with pytest.raises(UnrunnableError, match=message):
        measure_quietly(InstantDevice(), TIMM_NETWORK)
    check_measurable(InstantDevice(), SMALL)
