"""The recipe by which the networks of the table are trained."""

from __future__ import annotations

import time

import torch
from rich.console import Console

from experiments.mixnet_table.networks import references
from experiments.mixnet_table.trainings import TrainingResult
from nas.accuracy.naming import open_estimator
from nas.accuracy.pool import ListedPool
from nas.accuracy.preparation import prepare_estimator
from nas.accuracy.short import ShortTraining
from nas.machine import machine_for
from nas.spec import NetworkSpec
from nas.train.loop import TrainingError

TRAINING = "short:images={images},width=1,batch_size=64,stages=1,score=accuracy"
IMAGES = 60_000  # seen by a training


def open_training(data: str, images: int = IMAGES) -> ShortTraining:
    """Return the training of the recipe, with its images read.

    Args:
        data: CIFAR-10: its own files, or class folders.
        images: Number of images that a training sees.

    Raises:
        MixnasError: If the data cannot be read.
    """
    short = open_estimator(TRAINING.format(images=images), data, ListedPool(references()), 0)
    assert isinstance(short, ShortTraining)
    prepare_estimator(short, "reading the images", Console(stderr=True))
    return short


def trained(short: ShortTraining, spec: NetworkSpec, seed: int) -> TrainingResult:
    """Train a network by the recipe, and evaluate it on both other parts of the data."""
    hits: list[torch.Tensor] = []
    with machine_for("training"):
        started, computed = time.perf_counter(), time.process_time()
        try:
            trainer = short.trainer(spec, seed)
            for _ in trainer.steps():
                pass
            validation = trainer.evaluate("validation")
            test = trainer.evaluate("test", hits)
        except TrainingError as error:
            return TrainingResult(spec.name, seed, None, {}, str(error))
        figures = {
            "test_loss": round(test.loss, 5),
            "validation_accuracy": round(validation.accuracy, 5),
            "seconds": round(time.perf_counter() - started, 1),
            "core_seconds": round(time.process_time() - computed, 1),
        }
    return TrainingResult(spec.name, seed, torch.cat(hits).numpy(), figures)
