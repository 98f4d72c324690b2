import pytest

from nas.errors import MixnasError
from nas.executors import gpus as gpus_module
from nas.executors.base import Resources
from nas.executors.gpus import remark_on, with_gpus
from nas.train import placement as placement_module
from nas.train.settings import ON_THE_CPU, PlacementSettings

CUDA = PlacementSettings("cuda")


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(placement_module.torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(placement_module.torch.cuda, "get_device_name", lambda device: "H100")


@pytest.mark.parametrize(
    ("on", "share", "workers", "expected"),
    [
        ("cuda", None, 8, (2, ("0", "1"))),
        ("cuda", 0.5, 8, (4, ("0", "1"))),
        ("cuda", 0.3, 8, (6, ("0", "1"))),
        ("cuda", 0.5, 3, (3, ("0", "1"))),
        ("cuda:1", None, 8, (1, ("1",))),
        ("mps", None, 8, (1, ())),
        ("mps", 0.5, 8, (2, ())),
        ("cpu", None, 8, (8, ())),
        ("cpu", 0.5, 8, (8, ())),
    ],
)
def test_workers_are_as_many_as_the_gpus_have_room_for(two_gpus, on, share, workers, expected):
    found = with_gpus(Resources(workers, threads=3), PlacementSettings(on), share)
    assert (found.workers, found.gpus, found.threads) == (*expected, 3)


def test_gpus_are_named_as_the_environment_names_them(two_gpus, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-8a2f")
    assert with_gpus(Resources(8), CUDA, None).gpus == ("5", "GPU-8a2f")
    assert with_gpus(Resources(8), PlacementSettings("cuda:1"), None).gpus == ("GPU-8a2f",)


@pytest.mark.parametrize("share", [0, 2, 1.5])
def test_a_share_must_be_one_of_a_gpu(two_gpus, share):
    with pytest.raises(MixnasError, match=f"--gpus {share:g} is not possible on this machine"):
        with_gpus(Resources(8), CUDA, share)


def test_an_accelerator_is_told_in_one_line(two_gpus):
    assert remark_on(ON_THE_CPU, Resources(4)) is None
    assert remark_on(CUDA, with_gpus(Resources(8), CUDA, None)) == (
        "training on cuda (2 x H100), 2 networks at a time"
    )
    one = PlacementSettings("cuda:1", "bf16")
    assert remark_on(one, with_gpus(Resources(8), one, None)) == (
        "training on cuda:1 (H100), 1 network at a time, bf16"
    )
    assert gpus_module.describe(PlacementSettings("mps")) == "mps"
