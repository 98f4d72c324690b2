"""ONNX Runtime and the models that it takes."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto

from nas.errors import MixnasError, UnrunnableError
from nas.latency.runtimes.base import noise
from nas.latency.runtimes.onnxruntime_runtime import OnnxRuntime, providers
from nas.machine import other_cores, usable_cores
from tests.latency.onnx_models import model
from tests.latency.runtimes.profiles import check_profile


@pytest.fixture
def runtime():
    return OnnxRuntime("cpu", threads=1, batch=2)


def test_providers_have_short_names():
    assert providers()["cpu"] == "CPUExecutionProvider"


def test_a_run_feeds_a_batch_of_noise(runtime, monkeypatch):
    feeds = []
    run = onnxruntime.InferenceSession.run
    monkeypatch.setattr(
        onnxruntime.InferenceSession,
        "run",
        lambda self, outputs, feed: feeds.append(feed) or run(self, outputs, feed),
    )
    milliseconds = runtime.load_model(model(["batch", 3, 8, 4]))()
    assert 0 < milliseconds < 60_000
    assert list(feeds[0]) == ["x0"]
    np.testing.assert_array_equal(feeds[0]["x0"], noise(2, (3, 8, 4)))


@pytest.mark.parametrize("threads", [1, 2, None])
def test_threads_are_pinned_and_do_not_spin(threads):
    runtime = OnnxRuntime("cpu", threads, 1)
    options = runtime._options()
    count = threads or usable_cores()
    assert runtime.threads == options.intra_op_num_threads == count
    assert options.inter_op_num_threads == 1
    assert options.get_session_config_entry("session.force_spinning_stop") == "1"
    cores = other_cores(count)
    if cores:
        key = "session.intra_op_thread_affinities"
        assert options.get_session_config_entry(key) == cores


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (model(["batch", 3, 8]), r"inputs are \(x0: tensor\(float\) \['batch', 3, 8\]\); it must"),
        (model(["batch", 3, "height", 8]), "with fixed channels, height and width"),
        (model(["batch", 3, 8, 8], ["batch", 3, 8, 8]), r"inputs are \(x0: .*, x1: .*\)"),
        (model(["batch", 3, 8, 8], kind=TensorProto.DOUBLE), r"tensor\(double\)"),
        (model([4, 3, 8, 8]), "batch size is fixed at 4; it must be 2, or dynamic"),
        (model([1, 3, 8, 8]), "batch size is fixed at 1; it must be 2, or dynamic"),
    ],
)
def test_models_without_one_image_input_are_refused(runtime, graph, message):
    with pytest.raises(MixnasError, match=message):
        runtime.load_model(graph)


def test_a_fixed_batch_size_that_was_asked_for_is_taken(runtime):
    assert runtime.load_model(model([2, 3, 8, 8]))() > 0


def test_what_is_not_a_model_is_refused(runtime):
    with pytest.raises(UnrunnableError, match=r"ONNX Runtime rejects the model: [^\n]+$"):
        runtime.load_model(b"\x08garbage")


def test_a_provider_that_does_not_work_here_is_not_replaced_by_another(runtime, monkeypatch):
    runtime._provider = "CUDAExecutionProvider"
    with pytest.raises((MixnasError, UnrunnableError)) as caught:
        runtime.load_model(model([1, 3, 8, 8]))
    told = []

    class Elsewhere:
        def __init__(self, model, options, providers, enable_fallback):
            told.append((providers, enable_fallback))

        def get_providers(self):
            return ["CPUExecutionProvider"]

    monkeypatch.setattr(onnxruntime, "InferenceSession", Elsewhere)
    with pytest.raises(MixnasError, match="cannot use its CUDAExecutionProvider here") as caught:
        runtime.load_model(model([1, 3, 8, 8]))
    assert "choose --device onnxruntime:cpu" in str(caught.value)
    assert told == [(["CUDAExecutionProvider"], False)]


def test_latencies_of_a_gpu_are_told_apart_by_its_name(monkeypatch):
    monkeypatch.setattr(
        "nas.latency.runtimes.onnxruntime_runtime.providers",
        lambda: {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"},
    )
    monkeypatch.setattr(
        "nas.latency.runtimes.onnxruntime_runtime.nvidia_gpu", lambda: "NVIDIA H200"
    )
    assert OnnxRuntime("cuda", None, 1).machine == "NVIDIA H200"
    assert OnnxRuntime("cpu", None, 1).machine != "NVIDIA H200"


def test_the_profile_of_a_network_names_its_operators(runtime):
    check_profile(runtime, own={"QuickGelu"})
