"""Training and evaluating on a real GPU; skipped where there is none."""

import dataclasses
import os

import pytest
import torch

from nas.accuracy.pool import ListedPool
from nas.accuracy.short import ShortTraining
from nas.accuracy.supernet import Supernet
from nas.accuracy.zero_cost import SCORES, ZeroCost
from nas.data import load_data
from nas.executors.base import Resources, Task
from nas.executors.gpus import with_gpus
from nas.executors.local import LocalExecutor
from nas.latency import MeasurementSettings, open_device
from nas.latency.protocol import Effort
from nas.train import batches as batches_module
from nas.train.batches import Batches, placed
from nas.train.placement import Placement, find_placement
from nas.train.recipe import Recipe
from nas.train.settings import PlacementSettings
from tests.networks import DEEP, TINY

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]
CUDA = PlacementSettings("cuda", "fp32")
PLAIN = Recipe(batch_size=32, optimiser="sgd", learning_rate=0.01, shift=0.0)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path))


def losses(placement, **changes):
    """Return the losses of ten steps of a short training."""
    estimator = ShortTraining(
        "digits", images=640, resolution=16, recipe=PLAIN.replace(**changes), placement=placement
    )
    trainer = estimator.trainer(TINY, 0)
    found = [trainer.last_loss for _ in trainer.steps(10)]
    return torch.stack(found).cpu()


def test_auto_finds_it():
    assert find_placement("auto", "auto").on == "cuda"


def test_losses_are_those_of_the_cpu():
    expected = losses(PlacementSettings())
    assert torch.allclose(losses(CUDA), expected, rtol=2e-2, atol=2e-2)  # TF32 has 10 bits


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_is_close(precision):
    found = losses(PlacementSettings("cuda", precision), optimiser="adamw")
    expected = losses(CUDA, optimiser="adamw")
    assert torch.allclose(found, expected, rtol=0.1, atol=0.1)


@pytest.mark.parametrize(
    "changes",
    [
        {"ema": 0.9, "clip": 5.0},
        {"optimiser": "rmsprop"},
        {"sam": 0.05},
        {"flip": True, "crop": 0.5, "randaugment": 5.0, "erasing": 0.3},
        {"mixup": 0.2, "cutmix": 1.0},
        {"dropout": 0.2, "drop_path": 0.2},
    ],
)
def test_every_ingredient_trains(changes):
    assert torch.isfinite(losses(CUDA, **changes)).all()


@pytest.mark.parametrize("score", [name for name in SCORES if name not in ("params", "madds")])
def test_zero_cost_scores_are_those_of_the_cpu(score):
    on_cpu = ZeroCost("digits", score, 16).estimate(DEEP, 0).score
    on_gpu = ZeroCost("digits", score, 16, placement=CUDA).estimate(DEEP, 0).score
    assert on_gpu == pytest.approx(on_cpu, rel=0.02)


def test_a_supernet_trains_and_scores():
    supernet = Supernet(
        "digits", ListedPool([TINY, DEEP]), images=16_000, resolution=16, placement=CUDA
    )
    supernet.prepare()
    first, second = supernet.estimate(TINY, 0), supernet.estimate(TINY, 0)
    assert first.score == second.score > 0.3


def test_batches_that_stay_in_main_memory_are_staged(monkeypatch):
    monkeypatch.setattr(batches_module, "has_room_for", lambda size, device: False)
    data, staged = placed(load_data("digits").at(16), "cuda")
    assert staged
    batches = list(Batches(data, 64, 0, staged=True).train(0))
    expected = list(Batches(data, 64, 0).train(0))
    assert all(images.is_pinned() for images, _ in batches)
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(batches, expected, strict=True))


def test_data_lie_on_the_device_in_the_same_order():
    data, staged = placed(load_data("digits").at(16), "cuda")
    assert not staged
    for (images, labels), (others, _) in zip(
        Batches(data, 64, 0).train(1),
        Batches(load_data("digits").at(16), 64, 0).train(1),
        strict=True,
    ):
        assert images.is_cuda
        assert labels.is_cuda
        assert torch.equal(images.cpu(), others)


def test_workers_train_on_their_gpu():
    estimator = ShortTraining("digits", images=640, resolution=16, recipe=PLAIN, placement=CUDA)
    resources = with_gpus(Resources(2), CUDA, 0.5)
    with LocalExecutor(estimator, resources) as executor:
        found = dict(executor.run({seed: Task(TINY, seed) for seed in range(3)}))
    assert all(0 <= result.accuracy <= 1 for result in found.values()), found


def test_a_batch_beyond_the_memory_is_halved_or_fails_with_the_reason():
    huge = ShortTraining(
        "digits", images=10**6, resolution=16, recipe=PLAIN, placement=CUDA, stages=1
    )
    _, total = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction(0.03 * 2**30 / total)
    try:
        with pytest.raises(Exception, match="out of GPU memory, even with the batch halved"):
            dataclasses.replace(huge, resolution=512).estimate(DEEP, 0)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_latency_is_measured_lowered_and_as_trained():
    for lowered in (False, True):
        device = open_device("torch:cuda", MeasurementSettings(lowered=lowered))
        effort = Effort(rounds=2, seconds=0.2, warm_seconds=0.1)
        assert device.measure(TINY, effort).median_ms > 0
    assert os.environ.get("MIXNAS_GPU") is None


def test_a_placement_has_a_scaler_in_half_precision():
    assert Placement("cuda", "fp16").state()["scaler"]
