import dataclasses
import random

import pytest
import torch
from safetensors.torch import load_file

from nas.accuracy.base import EstimateError
from nas.accuracy.memory import HALVED
from nas.accuracy.supernet.training import SupernetTraining
from nas.errors import MixnasError
from nas.train.loop import Trainer
from nas.train.recipe import Recipe


def test_a_batch_that_does_not_fit_is_computed_in_halves(training, monkeypatch):
    take_step, parts = Trainer._take_step, []

    def full(self, images, labels):
        parts.append(self._parts)
        if self._parts == 1 and self.step == 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB.\nMore")
        take_step(self, images, labels)

    monkeypatch.setattr(Trainer, "_take_step", full)
    assert training.run(1, None) == [f"supernet: {HALVED}"]
    assert parts == [1] * 3 + [2] * 10
    assert training.path.is_file()


def test_a_network_that_never_fits_is_told(training, monkeypatch):
    def full(self, images, labels):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB.\nMore")

    monkeypatch.setattr(Trainer, "_take_step", full)
    said = "the supernet: out of GPU memory, even with the batch halved: CUDA out of memory. Tried"
    with pytest.raises(MixnasError, match=said):
        training.run(1, None)


def test_the_final_weights_of_a_schedule_free_optimizer_are_kept(training, monkeypatch):
    recipe = Recipe(batch_size=64, optimiser="schedulefreeadamw", learning_rate=0.003)
    trained = []
    original = SupernetTraining.trainer
    monkeypatch.setattr(
        SupernetTraining,
        "trainer",
        lambda self, *given: trained.append(original(self, *given)) or trained[-1],
    )
    dataclasses.replace(training, recipe=recipe).run(1, None)
    kept = load_file(training.path)
    (trainer,) = trained

    def is_kept(tolerance):
        return all(
            torch.allclose(tensor, kept[f"tensors.{name}"], atol=tolerance)
            for name, tensor in trainer.model.bank.tensors.items()
        )

    assert not is_kept(1e-4)
    with trainer.final_weights():
        assert is_kept(1e-6)


def test_networks_are_drawn_for_the_images_of_the_training(training):
    """16 pixels, at which a classifier of whole maps has other features than at 224."""
    spec = training._draw(random.Random(0))
    assert spec.name in ("tiny", "deep")
    assert spec.input.resolution == 16


def test_a_network_too_small_for_the_images_is_told_before_training(training, monkeypatch):
    def refuse(spec, resolution):
        raise EstimateError(f"it does not take images of {resolution} px: too small")

    monkeypatch.setattr("nas.accuracy.supernet.training.shown_at", refuse)
    with pytest.raises(MixnasError, match="cannot be trained: it does not take images of 16 px"):
        training._draw(random.Random(0))
