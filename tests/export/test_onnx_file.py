"""ONNX files that are checked before they are written."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from nas.errors import MixnasError
from nas.export import onnx_file
from nas.export.onnx_file import Parity, compare, export_onnx, noise
from nas.formats.onnx import to_onnx
from nas.lowering import MERGE_ALL
from nas.spec import Input, load_network
from nas.torch_model import build, weights_of
from tests.networks import TINY, trained_like

SMALL = load_network("mixnet_s").replace(input=Input(resolution=32))
MINI = TINY.replace(input=Input(resolution=16))


def graph_of(weights):
    return to_onnx(MINI.tree(), MINI.in_shape, weights).SerializeToString()


@pytest.mark.parametrize("choice", [None, MERGE_ALL])
def test_an_image_has_the_same_outputs_at_every_batch_size(tmp_path, choice):
    model = trained_like(MINI)
    images = noise(MINI)
    assert images.shape == (8, 3, 16, 16)
    parity = export_onnx(model, tmp_path / "m.onnx", choice, images)
    assert parity.difference < 1e-5
    assert (parity.images, parity.same_class) == (8, 8)
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    with torch.no_grad():
        expected = model(images).numpy()
    for size in (1, 3, 8):
        (found,) = session.run(None, {"images": images[:size].numpy()})
        assert found.shape == (size, 10)
        assert np.allclose(found, expected[:size], atol=1e-5)


def test_every_batch_size_is_compared(monkeypatch):
    seen = []

    class Session:
        """Fails for one image, as a runtime with a special way for it might."""

        def __init__(self, *_, **__):
            pass

        def run(self, _, batch):
            size = len(batch["images"])
            seen.append(size)
            return [np.full((size, 10), 3.0 if size == 1 else 1.0)]

    class Ones(torch.nn.Module):
        def forward(self, images):
            return torch.ones(len(images), 10)

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    parity = compare(Ones(), b"", torch.zeros(16, 3, 8, 8))
    assert seen == [1, 3, 8, 16]
    assert parity.difference == 2.0


def test_the_lowered_network_is_checked_against_the_trained_one(tmp_path):
    assert export_onnx(build(SMALL, 0), tmp_path / "m.onnx", MERGE_ALL).difference < 1e-4
    graph = onnx.load(tmp_path / "m.onnx").graph
    assert graph.name == "mixnet_s"
    assert not [node for node in graph.node if node.op_type == "BatchNormalization"]


def test_a_difference_is_measured_relative_to_the_largest_output():
    model = trained_like(MINI)
    weights = weights_of(model)
    for name in ("classifier.weight", "classifier.bias"):
        weights[name] = 2 * weights[name]
    parity = compare(model, graph_of(weights), noise(MINI))
    assert parity.difference == pytest.approx(1.0, rel=1e-3)
    assert parity.same_class == 8  # twice the outputs are as large in the same order


def test_another_class_is_counted():
    model = trained_like(MINI)
    weights = weights_of(model)
    best = int(model(noise(MINI)).argmax(1)[0])
    weights["classifier.bias"] = weights["classifier.bias"].copy()
    weights["classifier.bias"][best] -= 100
    parity = compare(model, graph_of(weights), noise(MINI))
    with torch.no_grad():
        assert parity.same_class == int((model(noise(MINI)).argmax(1) != best).sum())
    assert parity.close == 0


def test_classes_that_torch_cannot_tell_apart_may_differ():
    class Tied(torch.nn.Module):
        def forward(self, images):
            return torch.tensor([[1.0, 1.0 + 1e-5]]).repeat(len(images), 1)

    class Session:
        def __init__(self, *_, **__):
            pass

        def run(self, _, batch):
            return [np.tile(np.float32([[1.0 + 1e-5, 1.0]]), (len(batch["images"]), 1))]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnxruntime, "InferenceSession", Session)
        parity = compare(Tied(), b"", torch.zeros(8, 3, 8, 8))
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
def test_nothing_is_written_if_the_outputs_differ(tmp_path, monkeypatch, parity, message):
    monkeypatch.setattr(onnx_file, "compare", lambda *_: parity)
    with pytest.raises(MixnasError, match=message):
        export_onnx(build(MINI, 0), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_properties_are_written(tmp_path):
    export_onnx(build(MINI, 0), tmp_path / "m.onnx", properties={"classes": '["a"]'})
    (found,) = onnx.load(tmp_path / "m.onnx").metadata_props
    assert (found.key, found.value) == ("classes", '["a"]')
