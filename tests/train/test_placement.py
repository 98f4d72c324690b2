import pytest
import torch
from torch import nn

from nas.errors import MixnasError
from nas.train.placement import Placement


def test_the_plain_placement_is_one_process_on_the_cpu():
    placement = Placement()
    assert (placement.device, placement.precision, placement.rank, placement.world) == (
        "cpu", "fp32", 0, 1,
    )  # fmt: skip
    assert placement.main
    numbers = torch.tensor([1.0, 2.0])
    assert placement.sum_over_processes(numbers) is numbers
    assert placement.to_device(numbers)[0] is numbers
    assert placement.state() == {}
    placement.rank = 1
    assert not placement.main


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"precision": "fp8"}, "unknown precision 'fp8'.*; allowed: bf16, fp16, fp32"),
        ({"device": "gpu"}, "unknown device 'gpu'; allowed: cpu, cuda, cuda:0"),
        ({"device": "cuda:first"}, "unknown device 'cuda:first'"),
        ({"device": "cuda:"}, "unknown device 'cuda:'"),
        ({"device": "cpu:3"}, "unknown device 'cpu:3'"),
    ],
)
def test_unknown_devices_and_precisions_are_refused(options, said):
    with pytest.raises(MixnasError, match=said):
        Placement(**options)


def test_a_missing_gpu_is_told(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(
        MixnasError, match="torch finds no CUDA device, so nothing can run on cuda:1; use cpu"
    ):
        Placement("cuda:1")


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)],
)
def test_forward_passes_run_in_the_precision(precision, dtype):
    layer = nn.Linear(2, 2)
    with Placement(precision=precision).autocast():
        assert layer(torch.ones(1, 2)).dtype == dtype
    assert layer.weight.dtype == torch.float32


def test_models_are_placed_with_channels_last():
    model = nn.Conv2d(3, 4, 3)
    placement = Placement()
    assert placement.place(model) is model
    assert model.weight.is_contiguous(memory_format=torch.channels_last)
    assert placement.training_module(model) is model


def test_a_step_follows_the_gradient():
    weight = nn.Parameter(torch.tensor([3.0]))
    optimiser = torch.optim.SGD([weight], lr=0.5)
    placement = Placement()
    placement.backward(weight.square().sum())
    assert weight.grad.item() == 6.0
    placement.step(optimiser)
    assert weight.item() == 0.0


def test_half_precision_needs_scaled_gradients(monkeypatch):
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: True)
    with pytest.raises(MixnasError, match="fp16 needs scaled gradients, which mps lacks"):
        Placement("mps", "fp16")
    assert Placement("mps", "bf16").kind == "mps"
