import time

import numpy as np
import pytest
import torch

from nas.errors import MixnasError
from nas.latency import open_device, usable_cores
from nas.latency.onnxruntime_cpu import realistic
from nas.latency.protocol import MIN_RUNS, summarise, time_runs
from nas.spec import Input, load_network

SMALL = load_network("mixnet_s").replace(input=Input(resolution=64))


def test_a_measurement_carries_its_conditions():
    latency = open_device("onnxruntime:cpu", threads=1).measure(SMALL)
    assert 0 < latency.p10_ms <= latency.median_ms <= latency.p90_ms
    assert latency.n >= MIN_RUNS
    assert (latency.threads, latency.batch, latency.resolution) == (1, 1, 64)
    assert latency.runtime.startswith("onnxruntime 1.")
    assert latency.lowered is False
    assert latency.machine
    assert latency.when.endswith("+00:00")


def test_all_usable_cores_are_the_default():
    assert open_device("onnxruntime:cpu").conditions()["threads"] == usable_cores()


def test_unknown_devices_are_refused():
    with pytest.raises(MixnasError, match="unknown device 'onnxruntime:gpu'"):
        open_device("onnxruntime:gpu")


def test_runs_are_warmed_up_and_timed_in_milliseconds():
    calls = []

    def run():
        calls.append(0)
        time.sleep(0.002)

    times = time_runs(run)
    assert len(times) >= MIN_RUNS
    assert len(calls) > len(times)
    assert 2.0 <= np.median(times) < 50.0


def test_percentiles():
    latency = summarise(
        np.arange(1.0, 102.0), device="d", runtime="r", threads=1, batch=1, resolution=32
    )
    assert (latency.p10_ms, latency.median_ms, latency.p90_ms, latency.n) == (11, 51, 91, 101)


def test_measured_networks_behave_as_trained_ones():
    # Activations that die away are denormal in the end, and those are slow to compute with.
    spec = load_network("mixnet_l").replace(input=Input(resolution=96))
    model = realistic(spec)
    sizes = []
    for block in model.blocks():
        block.register_forward_hook(lambda m, i, out: sizes.append(out.abs().mean().item()))
    with torch.no_grad():
        model(torch.randn(1, 3, 96, 96))
    assert len(sizes) == 19
    assert min(sizes) > 1e-2
    assert max(sizes) < 1e2
