"""Small networks that tests train and judge."""

from types import SimpleNamespace

import torch

from nas.blocks import MBConv
from nas.data import load_data
from nas.spec import Head, NetworkSpec, Stem
from nas.torch_model import build
from nas.train.batches import Batches
from nas.train.loop import Trainer

TINY = NetworkSpec(
    stem=Stem(channels=16),
    stages=((MBConv(channels=24, stride=2, kernels=(3, 5), expansion=3),),),
    head=Head(channels=64),
    num_classes=10,
    name="tiny",
)
DEEP = TINY.replace(
    stages=(
        (
            MBConv(channels=24, stride=2, kernels=(3, 5), expansion=3, se_ratio=0.25),
            MBConv(channels=24, kernels=(7,), expansion=6, expand_groups=2, project_groups=2),
        ),
        (MBConv(channels=40, stride=2, kernels=(3, 5, 7), expansion=3, activation="swish"),),
    ),
    name="deep",
)


def trainer(recipe, seed=0, **options):
    """A training of the tiny network on digits, on one thread."""
    torch.set_num_threads(1)
    source = Batches(load_data("digits").at(16), recipe.batch_size, seed)
    return Trainer(build(TINY, 0), source, recipe, seed, **options)


def train(model, data, recipe, seed):
    """Train to the end and judge: what came of it, under the names of its figures."""
    training = Trainer(model, Batches(data, recipe.batch_size, seed), recipe, seed)
    for _ in training.steps():
        pass
    found = training.evaluate("validation")
    return SimpleNamespace(
        losses=training.losses, accuracy=found.accuracy, loss=found.loss, steps=training.step
    )
