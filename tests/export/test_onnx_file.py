"""ONNX files that are checked before they are written."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from nas.errors import MixnasError
from nas.export import onnx_file
from nas.export.onnx_file import export_onnx
from nas.export.parity import Parity, noise
from nas.lowering import MERGE_ALL
from nas.spec import Input, load_network
from nas.torch_model import build
from tests.networks import TINY, trained_like

SMALL = load_network("mixnet_s").replace(input=Input(resolution=32))
MINI = TINY.replace(input=Input(resolution=16))


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


def test_the_lowered_network_is_checked_against_the_trained_one(tmp_path):
    assert export_onnx(build(SMALL, 0), tmp_path / "m.onnx", MERGE_ALL).difference < 1e-4
    graph = onnx.load(tmp_path / "m.onnx").graph
    assert graph.name == "mixnet_s"
    assert not [node for node in graph.node if node.op_type == "BatchNormalization"]


def test_nothing_is_written_if_the_outputs_differ(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "compare", lambda *_: Parity(0.5, 8, 8))
    with pytest.raises(MixnasError, match=r"differ by 5.0e-01 from torch's"):
        export_onnx(build(MINI, 0), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_properties_are_written(tmp_path):
    export_onnx(build(MINI, 0), tmp_path / "m.onnx", properties={"classes": '["a"]'})
    (found,) = onnx.load(tmp_path / "m.onnx").metadata_props
    assert (found.key, found.value) == ("classes", '["a"]')
