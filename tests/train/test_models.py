import sys
import types

import pytest
import torch
from safetensors.torch import save_file

from nas.errors import MixnasError
from nas.train.distillation import FixedTeacher
from nas.train.models import load_start, open_model
from nas.train.placement import Placement
from nas.train.recipe import Recipe
from tests.networks import TINY


@pytest.fixture
def saved(tmp_path):
    TINY.save(tmp_path / "tiny.yaml")
    return str(tmp_path / "tiny.yaml")


def test_a_network_is_built_for_the_data(saved):
    model = open_model(saved, 7, Recipe(dropout=0.3), 0, resolution=48)
    assert model.module(torch.zeros(2, 3, 48, 48)).shape == (2, 7)
    assert (model.name, model.resolution, model.spec.input.resolution) == ("tiny", 48, 48)
    assert model.module.classifier.dropout == 0.3
    assert model.costs()["params"] == sum(p.numel() for p in model.module.parameters())


def test_a_seed_gives_the_weights(saved):
    one, two, other = (open_model(saved, 10, Recipe(), seed) for seed in (1, 1, 2))
    weights = [model.module.classifier.weight for model in (one, two, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_weights_to_start_from_may_have_other_classes(saved, tmp_path):
    taught = open_model(saved, 10, Recipe(), 1).module.state_dict()
    save_file(taught, tmp_path / "w.safetensors")
    model = open_model(saved, 10, Recipe(), 0)
    assert load_start(model, str(tmp_path / "w.safetensors")).startswith("weights of")
    assert torch.equal(model.module.classifier.weight, taught["classifier.weight"])
    other = open_model(saved, 3, Recipe(), 0)
    said = load_start(other, str(tmp_path / "w.safetensors"))
    assert "the classifier starts anew" in said
    assert torch.equal(other.module.stem.conv.weight, taught["stem.conv.weight"])
    assert other.module.classifier.weight.shape == (3, 64)


def test_weights_of_another_network_are_refused(saved, tmp_path):
    save_file({"stem.conv.weight": torch.zeros(1)}, tmp_path / "w.safetensors")
    model = open_model(saved, 10, Recipe(), 0)
    with pytest.raises(MixnasError, match=r"'stem.conv.weight' is \(1,\), expected"):
        load_start(model, str(tmp_path / "w.safetensors"))
    save_file({"other": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(MixnasError, match="is not in both"):
        load_start(model, str(tmp_path / "w.safetensors"))
    with pytest.raises(MixnasError, match="no such file"):
        load_start(model, str(tmp_path / "missing.safetensors"))


def test_a_teacher_sees_images_as_it_learned_them():
    seen = []

    class Teacher(torch.nn.Module):
        def forward(self, images):
            seen.append(images)
            return images.mean((2, 3))

    teacher = FixedTeacher(Teacher(), Placement(), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    mean, std = torch.full((1, 3, 1, 1), 0.2), torch.full((1, 3, 1, 1), 0.1)
    teacher((torch.full((1, 3, 2, 2), 0.75) - mean) / std, mean, std)
    assert torch.allclose(seen[0], torch.ones(1, 3, 2, 2))


@pytest.fixture
def timm(monkeypatch):
    """Stands in for timm, which needs a torchvision that this machine may not have."""

    class Net(torch.nn.Sequential):
        def __init__(self, classes):
            super().__init__(torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1))
            self.append(torch.nn.Flatten()).append(torch.nn.Linear(4, classes))
            self.num_classes = classes
            self.pretrained_cfg = {
                "input_size": (3, 160, 160),
                "mean": (0.5, 0.5, 0.5),
                "std": (0.5, 0.5, 0.5),
            }

    fake = types.ModuleType("timm")
    fake.list_models = lambda pattern="*": ["resnet18"]
    fake.create_model = lambda name, num_classes=1000, **_: Net(num_classes)
    monkeypatch.setitem(sys.modules, "timm", fake)


def test_timms_networks_are_built_by_name(timm):
    model = open_model("timm:resnet18", 5, Recipe(), 0)
    assert model.module(torch.zeros(1, 3, 32, 32)).shape == (1, 5)
    assert (model.spec, model.resolution) == (None, 160)
    assert model.costs() == {"params": 4 * 27 + 4 + 5 * 4 + 5, "madds": 158 * 158 * 4 * 27 + 20}
    with pytest.raises(MixnasError, match="timm has no network 'resnt'; as resnet18"):
        open_model("timm:resnt", 5, Recipe(), 0)
