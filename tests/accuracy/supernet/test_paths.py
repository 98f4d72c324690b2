import dataclasses

import pytest
import torch
from torch import nn

from nas.accuracy.pool import ListedPool
from nas.accuracy.supernet.paths import SampledPaths, largest_first
from nas.cost import count
from nas.spec import Head
from nas.train.augment import MixedLabels
from nas.train.placement import Placement
from nas.train.recipe import Recipe
from tests.networks import DEEP, TINY

WIDE = DEEP.replace(name="wide", head=Head(channels=DEEP.head.channels + 8))
POOL = ListedPool([TINY, DEEP, WIDE])
IMAGES = torch.zeros(2, 3, 32, 32)


def passed_by(model, batches=1):
    """Return the names of the networks that each of some batches passes through."""
    names = []
    model.bank.forward = lambda spec, images, *_: (names.append(spec.name), torch.zeros(2, 10))[1]
    for _ in range(batches):
        assert model(IMAGES).shape == (2 * model.paths, 10)
    return [names[i : i + model.paths] for i in range(0, len(names), model.paths)]


def test_the_sandwich_trains_the_extremes_and_random_networks():
    """Yu and Huang 2019: the largest and the smallest of the networks, then random ones."""
    torch.manual_seed(0)
    batches = passed_by(SampledPaths(POOL.draw, 4, Recipe()), 20)
    assert all(names[:2] == ["wide", "tiny"] for names in batches)
    assert {name for names in batches for name in names[2:]} == {"wide", "deep", "tiny"}
    two = passed_by(SampledPaths(POOL.draw, 2, Recipe()), 30)
    assert {names[0] for names in two} == {"wide"}
    assert {names[1] for names in two} == {"wide", "deep", "tiny"}
    single = passed_by(SampledPaths(POOL.draw, 1, Recipe()), 30)
    assert {names[0] for names in single} == {"wide", "deep", "tiny"}


@pytest.mark.parametrize("paths", [1, 2, 3])
def test_networks_join_from_the_largest_to_the_smallest(paths):
    """Of the 2,000 networks that are scanned, a third each is one of the three."""
    torch.manual_seed(0)
    model = SampledPaths(POOL.draw, paths, Recipe(), shrinking=0.5)
    begun = {}
    for progress in (0.0, 0.1, 0.25, 0.5, 1.0):
        model.reach(progress)
        begun[progress] = {name for names in passed_by(model, 30) for name in names}
    assert begun[0.0] == begun[0.1] == {"wide"}
    assert begun[0.25] == {"wide", "deep"}
    assert begun[0.5] == begun[1.0] == {"wide", "deep", "tiny"}


def test_the_sandwich_shrinks_to_the_smallest_network_that_has_joined():
    model = SampledPaths(POOL.draw, 3, Recipe(), shrinking=0.5)
    model.reach(0.25)
    assert all(names[:2] == ["wide", "deep"] for names in passed_by(model, 5))


def test_a_training_lets_networks_join_step_by_step(training, monkeypatch):
    """Also one that goes on from a checkpoint, as what has joined follows from the step."""
    reached = []
    monkeypatch.setattr(SampledPaths, "reach", lambda self, progress: reached.append(progress))
    trainer = training.trainer(Placement())
    list(trainer.steps(until=3))
    assert reached == [0.0, 0.1, 0.2]


def test_size_is_a_matter_of_madds_and_of_kernels():
    """Ranks by MAdds and by kernels: 0 and 2, 1 and 0, 2 and 1."""
    costly, middle, cheap = (
        TINY.replace(
            stages=((dataclasses.replace(TINY.stages[0][0], kernels=(side,)),),),
            head=Head(channels=channels),
        )
        for side, channels in ((3, 1024), (9, 64), (5, 16))
    )
    assert count(costly).madds > count(middle).madds > count(cheap).madds
    assert largest_first([cheap, costly, middle]) == [middle, costly, cheap]


def test_other_networks_learn_from_the_largest_one(training):
    """In-place distillation: the largest one learns from the labels alone."""
    recipe = Recipe(batch_size=64, distill=0.75, temperature=1.0, label_smoothing=0.0)
    trainer = dataclasses.replace(training, paths=3, recipe=recipe).trainer(Placement())
    logits = torch.randn(3 * 4, 10, requires_grad=True)
    labels = torch.arange(4)
    trainer._loss(IMAGES, MixedLabels(labels, labels, None), logits).backward()
    largest, *others = logits.detach().chunk(3)
    right = nn.functional.one_hot(labels, 10)
    expected = [
        largest.softmax(1) - right,
        *(each.softmax(1) - 0.25 * right - 0.75 * largest.softmax(1) for each in others),
    ]
    assert torch.allclose(logits.grad, torch.cat(expected) / (3 * 4), atol=1e-6)


@pytest.mark.parametrize(("paths", "distill"), [(1, 0.5), (2, 0.0)])
def test_without_others_or_distillation_all_learn_from_the_labels(training, paths, distill):
    recipe = Recipe(batch_size=64, distill=distill, label_smoothing=0.0)
    trainer = dataclasses.replace(training, paths=paths, recipe=recipe).trainer(Placement())
    logits, labels = torch.randn(paths * 4, 10), torch.arange(4)
    loss = trainer._loss(IMAGES, MixedLabels(labels, labels, None), logits)
    expected = nn.functional.cross_entropy(logits, labels.repeat(paths))
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
