import pytest
import torch

from nas.errors import MixnasError
from nas.train.distillation import FixedTeacher, open_teacher
from nas.train.placement import Placement


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


def test_a_teacher_is_frozen_and_evaluates():
    module = torch.nn.Sequential(torch.nn.Dropout(0.9), torch.nn.Flatten(), torch.nn.Linear(12, 3))
    teacher = FixedTeacher(module, Placement())
    images = torch.ones(2, 3, 2, 2)
    mean, std = torch.zeros(1, 3, 1, 1), torch.ones(1, 3, 1, 1)
    logits = teacher(images, mean, std)
    assert logits.shape == (2, 3)
    assert torch.equal(teacher(images, mean, std), logits)
    assert not logits.requires_grad
    assert not any(weights.requires_grad for weights in module.parameters())


def test_a_teacher_is_one_of_timms_networks_for_the_same_classes(timm):
    teacher = open_teacher("timm:resnet18", 1000, Placement())
    assert teacher._mean.flatten().tolist() == [0.5, 0.5, 0.5]  # of its own training
    with pytest.raises(MixnasError, match=r"resnet18 distinguishes 1000 classes, .* data has 10;"):
        open_teacher("timm:resnet18", 10, Placement())
    with pytest.raises(MixnasError, match=r"unknown teacher 'resnet18'; give .* as timm:NAME"):
        open_teacher("resnet18", 1000, Placement())
