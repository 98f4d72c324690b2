import dataclasses
import sys
from types import SimpleNamespace

import pytest

from nas.errors import MixnasError
from nas.executors.base import Resources
from nas.search.config import SearchConfig
from nas.search.placements import find_placements
from nas.train import placement as placement_module
from nas.train.settings import PlacementSettings

CONFIG = SearchConfig(workers=8, estimator="short")


@pytest.fixture
def machine(monkeypatch):
    """Pretend that this machine, and a cluster, have some GPUs."""

    def pretend(here, cluster=0):
        cuda = placement_module.torch.cuda
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        monkeypatch.setattr(cuda, "is_available", lambda: here > 0)
        monkeypatch.setattr(cuda, "device_count", lambda: here)
        monkeypatch.setattr(cuda, "get_device_name", lambda device: "H100")
        module = SimpleNamespace(cluster_gpus=lambda: float(cluster))
        monkeypatch.setitem(sys.modules, "nas.executors.ray_cluster", module)

    return pretend


def find(**changes):
    found = find_placements(dataclasses.replace(CONFIG, **changes))
    return found.here.on, found.trials.on, found.gpus_per_trial


def test_auto_is_the_accelerator_that_is_there(machine):
    machine(here=0)
    assert find() == ("cpu", "cpu", 0)
    machine(here=2)
    assert find() == ("cuda", "cuda", 1)
    assert find(on="cuda:1", gpus=0.5) == ("cuda:1", "cuda:1", 0.5)
    assert find(on="cpu") == ("cpu", "cpu", 0)
    found = find_placements(dataclasses.replace(CONFIG, gpus=0.5))
    resources = found.for_trials(Resources(8))
    assert (resources.workers, resources.gpus) == (4, ("0", "1"))
    assert found.remark(resources) == "training on cuda (2 x H100), 4 networks at a time"


def test_a_cluster_with_gpus_gives_one_to_each_trial(machine):
    machine(here=1, cluster=8)
    assert find(ray="auto") == ("cuda", "cuda", 1)
    assert find(ray="auto", gpus=0.25) == ("cuda", "cuda", 0.25)
    assert find(ray="auto", on="cpu") == ("cpu", "cpu", 0)
    found = find_placements(dataclasses.replace(CONFIG, ray="auto"))
    assert found.remark(Resources(8)) == "training on GPUs of the cluster, 1 per trial"
    machine(here=0, cluster=8)  # the search itself runs on a node without
    assert find(ray="auto") == ("cpu", "cuda", 1)
    assert find(ray="auto", estimator="supernet") == ("cpu", "cpu", 0)
    machine(here=1, cluster=0)
    assert find(ray="auto") == ("cpu", "cpu", 0)


def test_a_cluster_s_gpus_do_not_limit_the_trainings_here(machine):
    machine(here=2, cluster=8)
    found = find_placements(dataclasses.replace(CONFIG, ray="auto", gpus=4))
    assert found.gpus_per_trial == 4
    assert found.for_retraining(Resources(8)).workers == 2


@pytest.mark.parametrize(
    ("gpus", "changes", "said"),
    [
        ((0, 0), {"on": "cuda"}, "torch finds no CUDA device, so nothing can run on cuda"),
        ((2, 0), {"on": "cuda:2"}, "there is no cuda:2; torch finds cuda:0 to cuda:1"),
        ((0, 0), {"on": "tpu"}, "unknown device 'tpu'; allowed: cpu, cuda, cuda:0, ..., mps, or"),
        ((0, 0), {"precision": "int4"}, "unknown precision 'int4'; allowed: auto, bf16, fp16"),
        ((1, 0), {"gpus": 2}, "--gpus 2 is not possible on this machine"),
        ((0, 0), {"gpus": 1}, "--gpus 1 gives GPUs to trials that are trained on cpu"),
        ((0, 8), {"ray": "auto", "on": "cuda:1"}, "--on cuda:1 names a GPU of one machine"),
        ((1, 0), {"ray": "auto", "on": "cuda"}, "--on cuda: the Ray cluster has no GPUs"),
        ((1, 8), {"ray": "auto", "gpus": 0}, "--gpus 0 leaves trials that are trained on cuda"),
        (
            (0, 8),
            {"ray": "auto", "on": "cuda", "estimator": "supernet"},
            "--on cuda: the supernet is trained on this machine, where torch finds no GPU",
        ),
    ],
)
def test_what_cannot_be_had_is_one_line(machine, gpus, changes, said):
    machine(*gpus)
    with pytest.raises(MixnasError, match=said):
        find(**changes)


def test_an_estimator_of_one_s_own_may_use_gpus_by_itself(machine):
    machine(here=0, cluster=8)
    assert find(ray="auto", estimator="lab.own:Estimator", on="cpu", gpus=2) == ("cpu", "cpu", 2)


def test_what_does_not_train_leaves_the_gpus_alone_unless_it_is_told(machine):
    machine(here=1, cluster=8)
    for kind in ("table:networks.json", "lab.own:Estimator"):
        assert find(estimator=kind) == ("cuda", "cpu", 0)  # the retraining is on the GPU
        assert find(estimator=kind, ray="auto") == ("cuda", "cpu", 0)
        assert find(estimator=kind, on="cuda") == ("cuda", "cuda", 1)
    found = find_placements(dataclasses.replace(CONFIG, estimator="table:networks.json"))
    assert found.for_trials(Resources(8)).workers == 8
    assert found.for_retraining(Resources(8)).workers == 1
    assert found.remark(found.for_trials(Resources(8))) is None


def test_precision_follows_the_images_unless_it_is_given():
    cuda = PlacementSettings("cuda")
    assert [cuda.precision_at(side) for side in (32, 127, 128, 224)] == [
        "fp32", "fp32", "bf16", "bf16",
    ]  # fmt: skip
    assert PlacementSettings("mps").precision_at(224) == "fp32"
    assert PlacementSettings().precision_at(224) == "fp32"
    assert PlacementSettings("cuda", "fp16").precision_at(32) == "fp16"
    assert PlacementSettings().facts(224) == {}
    assert cuda.facts(32) == {"trained_on": "cuda"}
    assert PlacementSettings("cuda:1").facts(224) == {"trained_on": "cuda", "precision": "bf16"}
    assert PlacementSettings("cpu", "bf16").facts(32) == {"precision": "bf16"}
