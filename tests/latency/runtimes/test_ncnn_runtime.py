"""ncnn and the models that it takes."""

import sys

import numpy as np
import pytest

from nas.errors import MixnasError, UnrunnableError
from nas.formats.ncnn_graph import NcnnModel
from nas.ir import Conv, GlobalPool, Linear, Seq
from nas.latency import MeasurementSettings
from nas.latency.runtimes import open_runtime
from nas.latency.runtimes.base import Program, noise
from nas.latency.runtimes.models import serialized
from nas.latency.runtimes.ncnn_runtime import Ncnn
from nas.latency.weights import realistic_weights

ncnn = pytest.importorskip("ncnn")
TREE = Seq((("conv", Conv(3, 4, 3)), ("pool", GlobalPool()), ("classifier", Linear(4, 2))))
PROGRAM = Program(TREE, (3, 7, 5), realistic_weights(TREE))
MODEL = NcnnModel.unpacked(serialized(PROGRAM, "ncnn", "fp32", 1))


@pytest.fixture
def runtime():
    return Ncnn("cpu", threads=1, batch=3)


def test_what_it_is_called():
    runtime = open_runtime("ncnn:cpu", MeasurementSettings(threads=1, batch=3))
    assert (runtime.name, runtime.threads, runtime.batch) == ("ncnn:cpu", 1, 3)
    assert runtime.version.startswith("ncnn 1.")
    assert (runtime.tunable, runtime.pins_threads, runtime.model_format) == (True, False, "ncnn")


def test_a_run_feeds_every_image_of_noise_once(runtime, monkeypatch):
    fed = []

    def watched(image):
        fed.append(np.array(image))
        return ncnn_mat(image)

    ncnn_mat = ncnn.Mat
    monkeypatch.setattr(ncnn, "Mat", watched)
    assert 0 < runtime.load(PROGRAM)() < 60_000
    np.testing.assert_array_equal(fed[1:], noise(3, PROGRAM.shape))  # the first is tried


def test_numbers_have_32_bits_and_threads_are_as_many_as_were_asked_for(monkeypatch):
    nets = []
    whole = ncnn.Net
    monkeypatch.setattr(ncnn, "Net", lambda: nets.append(whole()) or nets[-1])
    Ncnn("cpu", threads=2, batch=1).load(PROGRAM)
    (net,) = nets
    assert net.opt.num_threads == 2
    assert (net.opt.lightmode, net.opt.use_winograd_convolution) == (True, True)
    narrow = [name for name in dir(net.opt) if "fp16" in name or "bf16" in name]
    assert len(narrow) == 5
    assert not any(getattr(net.opt, name) for name in narrow)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (b"x" * 64, "is no ncnn model"),
        (MODEL.packed()[:-1], "is damaged: it has"),
        (NcnnModel(MODEL.param, b"").packed(), "ncnn rejects the weights of the model"),
        (
            NcnnModel(MODEL.param.replace("InnerProduct", "Unknown"), MODEL.weights).packed(),
            "ncnn rejects the layers of the model",
        ),
        (
            NcnnModel(MODEL.param.replace("2=3", "2=0"), MODEL.weights).packed(),
            "one input with fixed channels, height and width",
        ),
    ],
)
def test_what_is_not_a_model_is_refused(runtime, model, message):
    with pytest.raises(UnrunnableError, match=message):
        runtime.load_model(model)


def test_without_ncnn_its_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ncnn", None)
    with pytest.raises(MixnasError, match=r"needs the package 'ncnn'.*'mixnas\[ncnn\]'"):
        open_runtime("ncnn:cpu", MeasurementSettings())
