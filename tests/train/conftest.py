"""What the tests of training share."""

import random

import numpy as np
import pytest
from PIL import Image

from nas.data import load_data
from tests.networks import TINY


@pytest.fixture
def saved(tmp_path):
    TINY.save(tmp_path / "tiny.yaml")
    return str(tmp_path / "tiny.yaml")


@pytest.fixture
def timm(stand_in_for_timm):
    """See `tests.timm_stand_in`."""
    return stand_in_for_timm


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
