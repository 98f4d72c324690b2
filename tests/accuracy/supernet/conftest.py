import pytest
import torch

from nas.accuracy.fidelity import Images
from nas.accuracy.pool import ListedPool
from nas.accuracy.supernet.training import SupernetTraining
from nas.train.recipe import Recipe
from nas.train.settings import ON_THE_CPU
from tests.networks import DEEP, TINY


@pytest.fixture
def training(tmp_path):
    """A short training of a supernet of two networks, on digits."""
    torch.set_num_threads(1)
    return SupernetTraining(
        shown=Images("digits", 16),
        pool=ListedPool([TINY, DEEP]),
        images=640,
        most_epochs=1,
        width=1.0,
        paths=1,
        shrinking=0.0,
        recipe=Recipe(batch_size=64, optimiser="adamw", learning_rate=0.003, clip=5.0),
        seed=3,
        placement=ON_THE_CPU,
        path=tmp_path / "weights.safetensors",
        about={"supernet": "of a test"},
    )
