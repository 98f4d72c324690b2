"""LiteRT and the networks that it takes."""

import sys

import numpy as np
import pytest

from nas.errors import MixnasError, UnrunnableError
from nas.formats.tflite.graph import Graph
from nas.ir import Conv, Seq
from nas.latency import MeasurementSettings
from nas.latency.runtimes import open_runtime
from nas.latency.runtimes.base import Program, noise
from nas.latency.runtimes.litert_runtime import LiteRT
from nas.latency.runtimes.models import serialized
from nas.latency.weights import realistic_weights

litert = pytest.importorskip("ai_edge_litert.interpreter")
TREE = Seq((("conv", Conv(3, 4, 3, bias=True)),))
PROGRAM = Program(TREE, (3, 8, 6), realistic_weights(TREE))


def test_a_run_feeds_a_batch_of_noise(monkeypatch):
    fed = []
    settings = []
    whole = litert.Interpreter

    class Watched(whole):
        def __init__(self, **options):
            settings.append(options["num_threads"])
            super().__init__(**options)

        def set_tensor(self, index, value):
            fed.append(np.array(value))
            super().set_tensor(index, value)

    monkeypatch.setattr(litert, "Interpreter", Watched)
    runtime = LiteRT("cpu", threads=2, batch=5)
    assert 0 < runtime.load(PROGRAM)() < 60_000
    assert settings == [2]
    np.testing.assert_array_equal(fed[0], noise(5, PROGRAM.shape).transpose(0, 2, 3, 1))


def test_what_it_is_called():
    runtime = open_runtime("litert:cpu", MeasurementSettings(threads=1))
    assert (runtime.name, runtime.threads, runtime.batch) == ("litert:cpu", 1, 1)
    assert runtime.version.startswith("ai-edge-litert 2.")
    assert runtime.tunable


def test_a_model_that_is_rejected_is_a_network_that_cannot_run():
    with pytest.raises(UnrunnableError, match="LiteRT rejects the model: "):
        LiteRT("cpu", 1, 1).load_model(b"x" * 64)


def test_models_from_elsewhere_have_one_batch_of_images():
    runtime = LiteRT("cpu", threads=1, batch=2)
    assert runtime.load_model(serialized(PROGRAM, "tflite", "fp32", 2))() > 0
    with pytest.raises(MixnasError, match="batch size is fixed at 3; it must be 2"):
        runtime.load_model(serialized(PROGRAM, "tflite", "fp32", 3))
    graph = Graph()
    flat, out = graph.tensor("flat", (2, 8)), graph.tensor("out", (2, 8))
    graph.add("RELU", [flat], [out])
    with pytest.raises(MixnasError, match=r"inputs are \(flat: float32 \[2, 8\]\); it must have"):
        runtime.load_model(graph.model(flat, out, "flat", {}))


def test_without_litert_its_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(ModuleNotFoundError) as caught:
        LiteRT("cpu", 1, 1)
    assert caught.value.name.partition(".")[0] == "ai_edge_litert"
