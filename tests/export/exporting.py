"""Exports of small networks, as tests write them."""

import numpy as np
import torch

from nas.export.base import Export
from nas.export.registry import find_format
from nas.export.trained import TrainedModel
from nas.export.writing import write_export
from nas.spec import Input
from tests.networks import TINY, trained_like

MINI = TINY.replace(input=Input(resolution=16))


def export_of(model, choice=None, metadata=None, **options):
    return Export(model, TrainedModel(model.spec, metadata=metadata), choice, **options)


def write(name, path, model, choice=None, metadata=None, **options):
    """Write a network in the format of a name; return what is told of it."""
    return write_export(export_of(model, choice, metadata, **options), find_format(name), path, {})


def logits(model, images):
    """What torch gives for images."""
    with torch.no_grad():
        return model.eval()(images).numpy()


def agree(found, expected, tolerance=1e-5):
    return float(np.abs(found - expected).max()) <= tolerance * float(np.abs(expected).max())


__all__ = ["MINI", "agree", "export_of", "logits", "trained_like", "write"]
