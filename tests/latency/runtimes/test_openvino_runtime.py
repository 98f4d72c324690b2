"""OpenVINO and the models that it takes."""

import subprocess
import sys

import numpy as np
import pytest
from onnx import TensorProto

from nas.errors import MixnasError, UnrunnableError
from nas.ir import Conv, Seq
from nas.latency import MeasurementSettings
from nas.latency.runtimes import open_runtime
from nas.latency.runtimes.base import Program, noise
from nas.latency.runtimes.openvino_runtime import OpenVino
from nas.latency.weights import realistic_weights
from nas.machine import usable_cores
from tests.latency.onnx_models import model
from tests.latency.runtimes.profiles import check_profile

pytest.importorskip("openvino")

TREE = Seq((("conv", Conv(3, 4, 3, bias=True)),))
PROGRAM = Program(TREE, (3, 8, 6), realistic_weights(TREE))


@pytest.fixture
def runtime():
    return OpenVino("cpu", threads=1, batch=2)


def test_what_it_is_called(runtime):
    opened = open_runtime("openvino:cpu", MeasurementSettings(threads=1, batch=2))
    assert (opened.name, opened.threads, opened.batch) == ("openvino:cpu", 1, 2)
    assert opened.version.startswith("openvino 20")
    assert (opened.tunable, opened.pins_threads, opened.model_format) == (True, False, "onnx")


def test_a_run_feeds_a_batch_of_noise(runtime, monkeypatch):
    loaded = []
    whole = OpenVino.open_read
    monkeypatch.setattr(
        OpenVino, "open_read", lambda self, *a: loaded.append(whole(self, *a)) or loaded[0]
    )
    assert 0 < runtime.load(PROGRAM)() < 60_000
    fed = loaded[0]._request.get_input_tensor().data
    np.testing.assert_array_equal(fed, noise(2, PROGRAM.shape))


def test_networks_run_in_one_stream_in_float32(runtime):
    read = runtime._core.read_model(model(["batch", 3, 8, 8]))
    read.reshape([2, 3, 8, 8])
    compiled = runtime._compiled(read)
    assert compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name() == "f32"
    assert compiled.get_property("NUM_STREAMS") == 1
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1
    assert [list(given.shape) for given in compiled.inputs] == [[2, 3, 8, 8]]


def test_int8_is_computed_with_integers(monkeypatch):
    runtime = OpenVino("cpu", threads=1, batch=2, precision="int8")
    assert not runtime.tunable
    compiled, compile_model = [], runtime._compiled
    monkeypatch.setattr(
        runtime, "_compiled", lambda *a: compiled.append(compile_model(*a)) or compiled[-1]
    )
    assert 0 < runtime.load(PROGRAM)() < 60_000
    (network,) = compiled
    operators = network.get_runtime_model().get_ops()
    kinds = {op.get_rt_info()["layerType"].astype(str): op.get_rt_info() for op in operators}
    assert kinds["Convolution"]["runtimePrecision"].astype(str) in ("i8", "u8")


def test_a_network_that_cannot_be_quantized_is_unrunnable(monkeypatch):
    def fail(model, shape):
        raise ValueError("no range for 'conv'\nTrace")

    monkeypatch.setattr("nas.formats.openvino_ir.quantize", fail)
    message = r"^the network cannot be quantized to int8: no range for 'conv'$"
    with pytest.raises(UnrunnableError, match=message):
        OpenVino("cpu", threads=1, batch=1, precision="int8").load(PROGRAM)


def test_threads_are_those_that_openvino_uses():
    assert OpenVino("cpu", threads=None, batch=1).threads == usable_cores()
    with pytest.raises(MixnasError, match=r"with \d+ instead of 1000 threads .*--threads \d+ or"):
        OpenVino("cpu", threads=1000, batch=1)


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (model(["batch", 3, 8]), r"inputs are \(x0: f32 \[\?,3,8\]\); it must have one float"),
        (model(["batch", 3, "height", 8]), "with fixed channels, height and width"),
        (model(["batch", 3, 0, 8]), "with fixed channels, height and width"),
        (model(["batch", 3, 8, 8], kind=TensorProto.DOUBLE), r"inputs are \(x0: f64"),
        (model([4, 3, 8, 8]), "batch size is fixed at 4; it must be 2, or dynamic"),
    ],
)
def test_models_without_one_image_input_are_refused(runtime, graph, message):
    with pytest.raises(MixnasError, match=message):
        runtime.load_model(graph)


@pytest.mark.parametrize("fixed", [1, 2])
def test_a_fixed_batch_size_that_was_asked_for_or_can_be_changed_is_taken(runtime, fixed):
    assert runtime.load_model(model([fixed, 3, 8, 8]))() > 0


@pytest.mark.parametrize("garbage", [b"\x08garbage", b"", b"/dev/null"])
def test_what_is_not_a_model_is_refused(runtime, garbage):
    with pytest.raises(
        UnrunnableError, match=r"^OpenVINO rejects the model: Unable to read[^\n]+$"
    ):
        runtime.load_model(garbage)


def test_telemetry_is_off_without_a_command():
    code = (
        "import sys\n"
        "from nas.latency.runtimes import open_runtime\n"
        "from nas.latency.conditions import MeasurementSettings\n"
        "open_runtime('openvino:cpu', MeasurementSettings(threads=1))\n"
        "assert 'openvino' in sys.modules\n"
        "print([name for name in sys.modules if 'telemetry' in name and sys.modules[name]])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "openvino_telemetry" not in done.stdout


def test_the_profile_of_a_network_names_its_operators(runtime):
    check_profile(runtime, own={"ReduceMean"})
