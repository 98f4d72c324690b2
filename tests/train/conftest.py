"""What the tests of training share."""

import random
import sys
import types

import numpy as np
import pytest
import torch
from PIL import Image

from nas.data import load_data
from tests.networks import TINY


@pytest.fixture
def saved(tmp_path):
    TINY.save(tmp_path / "tiny.yaml")
    return str(tmp_path / "tiny.yaml")


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


@pytest.fixture
def folder(tmp_path):
    """Sixty images of odd sizes, of two classes that differ in colour; one is broken."""
    rng = random.Random(0)
    for number in range(60):
        label = number % 2
        home = tmp_path / "data" / ("red" if label else "blue")
        home.mkdir(parents=True, exist_ok=True)
        pixels = np.zeros((rng.randint(40, 90), rng.randint(40, 90), 3), np.uint8)
        pixels[..., 0 if label else 2] = rng.randint(120, 250)
        Image.fromarray(pixels).save(home / f"{number:03}.png")
    (tmp_path / "data" / "red" / "broken.png").write_bytes(b"no image")
    return load_data(str(tmp_path / "data"))
