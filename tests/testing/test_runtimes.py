"""Our runtimes keep the contract that users' own ones are tested by."""

import pytest

from nas.latency.runtimes.litert_runtime import LiteRT
from nas.latency.runtimes.ncnn_runtime import Ncnn
from nas.latency.runtimes.onnxruntime_runtime import OnnxRuntime
from nas.latency.runtimes.openvino_runtime import OpenVino
from nas.latency.runtimes.torch_runtime import Torch
from nas.testing.runtimes import RuntimeContract


class TestOnnxRuntime(RuntimeContract):
    def runtime(self, threads, batch):
        return OnnxRuntime("cpu", threads, batch)


class TestOpenVino(RuntimeContract):
    def runtime(self, threads, batch):
        pytest.importorskip("openvino")
        return OpenVino("cpu", threads, batch)


class TestLiteRT(RuntimeContract):
    def runtime(self, threads, batch):
        pytest.importorskip("ai_edge_litert")
        return LiteRT("cpu", threads, batch)


class TestNcnn(RuntimeContract):
    def runtime(self, threads, batch):
        pytest.importorskip("ncnn")
        return Ncnn("cpu", threads, batch)


class TestTorch(RuntimeContract):
    def runtime(self, threads, batch):
        return Torch("cpu", False, threads, batch)


def test_the_contract_notices_a_runtime_that_cannot_tell_the_time():
    class Timeless(OnnxRuntime):
        def load(self, program):
            super().load(program)
            return lambda: 0.0

    class Contract(RuntimeContract):
        def runtime(self, threads, batch):
            return Timeless("cpu", threads, batch)

    with pytest.raises(AssertionError):
        Contract().test_it_runs_networks_as_trained_and_lowered()
