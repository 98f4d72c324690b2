"""How outputs are compared with those of torch."""

import numpy as np
import pytest
import torch

from nas.errors import MixnasError
from nas.export.parity import Parity, compare, noise
from nas.export.writers.onnx_file import run_onnx
from nas.formats.onnx import to_onnx
from nas.spec import Input
from nas.torch_model import weights_of
from tests.networks import TINY, trained_like

MINI = TINY.replace(input=Input(resolution=16))


def run_of(weights):
    return run_onnx(to_onnx(MINI.tree(), MINI.in_shape, weights).SerializeToString())


def test_every_batch_size_is_compared():
    seen = []

    def run(images):
        """Fails for one image, as a runtime with a special way for it might."""
        seen.append(len(images))
        return np.full((len(images), 10), 3.0 if len(images) == 1 else 1.0)

    class Ones(torch.nn.Module):
        def forward(self, images):
            return torch.ones(len(images), 10)

    parity = compare(Ones(), run, torch.zeros(16, 3, 8, 8))
    assert seen == [1, 3, 8, 16]
    assert parity.difference == 2.0


def test_a_difference_is_measured_relative_to_the_largest_output():
    model = trained_like(MINI)
    weights = weights_of(model)
    for name in ("classifier.weight", "classifier.bias"):
        weights[name] = 2 * weights[name]
    parity = compare(model, run_of(weights), noise(MINI))
    assert parity.difference == pytest.approx(1.0, rel=1e-3)
    assert parity.same_class == 8  # twice the outputs are as large in the same order


def test_another_class_is_counted():
    model = trained_like(MINI)
    weights = weights_of(model)
    best = int(model(noise(MINI)).argmax(1)[0])
    weights["classifier.bias"] = weights["classifier.bias"].copy()
    weights["classifier.bias"][best] -= 100
    parity = compare(model, run_of(weights), noise(MINI))
    with torch.no_grad():
        assert parity.same_class == int((model(noise(MINI)).argmax(1) != best).sum())
    assert parity.close == 0


def test_classes_that_torch_cannot_tell_apart_may_differ():
    class Tied(torch.nn.Module):
        def forward(self, images):
            return torch.tensor([[1.0, 1.0 + 1e-5]]).repeat(len(images), 1)

    def run(images):
        return np.tile(np.float32([[1.0 + 1e-5, 1.0]]), (len(images), 1))

    parity = compare(Tied(), run, torch.zeros(8, 3, 8, 8))
    assert (parity.same_class, parity.close) == (0, 8)
    parity.check()


@pytest.mark.parametrize(
    ("parity", "message"),
    [
        (Parity(0.5, 8, 8), r"differ by 5.0e-01 from torch's \(allowed: 1e-04\); no file was wr"),
        (Parity(float("nan"), 8, 8), "differ by nan from torch's"),
        (Parity(1e-6, 8, 6, 1), "gives 2 of 8 images another class than torch does; no file was"),
    ],
)
def test_outputs_that_differ_are_refused(parity, message):
    with pytest.raises(MixnasError, match=message):
        parity.check()
