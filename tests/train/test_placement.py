import weakref

import pytest
import torch
from torch import nn

from nas.errors import MixnasError
from nas.train.placement import (
    Placement,
    check_device,
    describe,
    find_placement,
    gpus_of,
    has_room_for,
    open_placement,
    placement_opener,
    release_memory,
)
from nas.train.settings import PlacementSettings


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


def test_only_half_precision_on_cuda_scales_its_loss(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: True)
    placement = Placement(device="cuda", precision="fp16")
    state = {"scaler": {**placement.state()["scaler"], "scale": 8.0}}
    assert placement.state() != state
    placement.restore(state)
    assert placement.state() == state
    placement.restore({})
    assert placement.state() == state
    assert Placement(device="cuda", precision="bf16").state() == {}
    assert Placement(device="cpu", precision="fp32").state() == {}


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


@pytest.mark.parametrize(
    ("cuda", "mps", "found"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_an_accelerator_is_taken_if_there_is_one(monkeypatch, cuda, mps, found):
    monkeypatch.setattr("torch.cuda.is_available", lambda: cuda)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: mps)
    assert find_placement("auto", "auto").on == found
    assert find_placement("cpu", "bf16") == PlacementSettings("cpu", "bf16")
    with pytest.raises(MixnasError, match="unknown precision 'fp8'"):
        find_placement("auto", "fp8")


def test_plain_cuda_stands_for_all_gpus_and_a_number_for_one(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda name: f"GPU of {name}")
    assert gpus_of(PlacementSettings("cuda")) == ["cuda:0", "cuda:1"]
    assert gpus_of(PlacementSettings("cuda:1")) == ["cuda:1"]
    assert gpus_of(PlacementSettings("cpu")) == gpus_of(PlacementSettings("mps")) == []
    assert describe(PlacementSettings("cuda")) == "cuda (2 x GPU of cuda)"
    assert describe(PlacementSettings("cuda:1")) == "cuda:1 (GPU of cuda:1)"
    assert describe(PlacementSettings("mps")) == "mps"
    check_device("cuda:1")
    with pytest.raises(MixnasError, match="there is no cuda:2; torch finds cuda:0 to cuda:1"):
        check_device("cuda:2")


def test_a_data_set_takes_a_quarter_of_the_free_memory_at_most(monkeypatch):
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (4_000, 99_999))
    monkeypatch.setattr("torch.mps.recommended_max_memory", lambda: 8_000)
    assert [has_room_for(size, "cuda:1") for size in (1_000, 1_001)] == [True, False]
    assert [has_room_for(size, "mps") for size in (2_000, 2_001)] == [True, False]
    assert has_room_for(1 << 60, "cpu")


def test_sums_are_in_double_precision_where_there_is_one(monkeypatch):
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: True)
    assert Placement().accumulator(2, 3).dtype == torch.float64
    assert tuple(Placement().accumulator(2, 3).shape) == (2, 3)
    made = []
    monkeypatch.setattr("torch.zeros", lambda *_, dtype, device: made.append((dtype, device)))
    Placement("mps").accumulator(2)
    assert made == [(torch.float32, "mps")]


def test_a_missing_apple_gpu_is_told(monkeypatch):
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    with pytest.raises(MixnasError, match="torch finds no Apple GPU, so nothing can run on mps"):
        Placement("mps")


def test_the_precision_follows_from_device_and_resolution(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    for on, resolution, precision in (
        ("cuda", 127, "fp32"), ("cuda", 128, "bf16"), ("cuda:0", 224, "bf16"), ("cpu", 224, "fp32")
    ):  # fmt: skip
        placed = open_placement(PlacementSettings(on), resolution)
        assert (placed.device, placed.precision, placed.compiled) == (on, precision, False)
    assert open_placement(PlacementSettings("cpu", "bf16"), 16, compiled=True).compiled


def test_a_placement_is_opened_for_the_size_of_the_images():
    placement = placement_opener("cpu", "bf16", compiled=False)(224)
    assert (placement.device, placement.precision) == ("cpu", "bf16")
    with pytest.raises(MixnasError, match="unknown precision 'fp8'"):
        placement_opener("cpu", "fp8", compiled=False)


def test_processes_of_a_launcher_take_no_device_by_number(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(MixnasError, match="--on cuda:1: several processes take a GPU each"):
        placement_opener("cuda:1", "auto", compiled=False)


def test_memory_that_only_cycles_refer_to_is_released():
    cycle = [nn.Linear(1, 1)]
    cycle.append(cycle)
    gone = weakref.ref(cycle[0])
    del cycle
    release_memory()
    assert gone() is None
