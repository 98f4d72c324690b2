"""PyTorch as a runtime."""

import pytest
import torch

from nas.errors import MixnasError, UnrunnableError
from nas.ir import Conv, GlobalPool, Linear, Seq
from nas.latency.runtimes.base import Program
from nas.latency.runtimes.torch_runtime import Torch
from nas.latency.weights import realistic_weights

TREE = Seq((("conv", Conv(3, 4, 3)), ("pool", GlobalPool()), ("classifier", Linear(4, 2))))


def program():
    return Program(TREE, (3, 8, 8), realistic_weights(TREE))


def test_cuda_is_refused_where_there_is_none():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(MixnasError, match="finds no CUDA device here; use torch:cpu"):
        Torch("cuda", compiled=False, threads=1, batch=1)


def test_images_are_channels_last_and_need_no_gradients(monkeypatch):
    calls = []
    runtime = Torch("cpu", compiled=False, threads=1, batch=2)
    forward = runtime._forward

    def spy(module):
        def call(images):
            assert torch.is_inference_mode_enabled()
            calls.append(images)
            return forward(module)(images)

        return call

    monkeypatch.setattr(runtime, "_forward", spy)
    run = runtime.load(program())
    assert len(calls) == 1  # the network is tried once
    assert 0 < run() < 60_000
    assert torch.get_num_threads() == 1
    assert calls[1].shape == (2, 3, 8, 8)
    assert calls[1].is_contiguous(memory_format=torch.channels_last)


def test_a_network_that_fails_is_reported_in_one_line(monkeypatch):
    runtime = Torch("cpu", compiled=True, threads=1, batch=1)

    def broken(images):
        raise RuntimeError("no compiler\nwas found")

    monkeypatch.setattr(runtime, "_forward", lambda module: broken)
    with pytest.raises(UnrunnableError, match=r"^compile:cpu cannot run the network: no compiler$"):
        runtime.load(program())


def test_models_in_a_file_format_are_refused():
    runtime = Torch("cpu", compiled=False, threads=1, batch=1)
    assert runtime.model_format is None
    with pytest.raises(MixnasError, match=r"^torch:cpu runs layer trees and modules; it"):
        runtime.load_model(b"")
