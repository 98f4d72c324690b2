"""ONNX files that are checked before they are written."""

import dataclasses

import onnx
import onnxruntime
import pytest

from nas.export.parity import noise
from nas.lowering import MERGE_ALL
from nas.spec import Input, load_network
from nas.torch_model import build
from tests.export.exporting import MINI, agree, logits, trained_like, write
from tests.formats.test_metadata import METADATA

SMALL = load_network("mixnet_s").replace(input=Input(resolution=32))


@pytest.mark.parametrize("choice", [None, MERGE_ALL])
def test_an_image_has_the_same_outputs_at_every_batch_size(tmp_path, choice):
    model = trained_like(MINI)
    images = noise(MINI)
    assert images.shape == (8, 3, 16, 16)
    told = write("onnx", tmp_path / "m.onnx", model, choice, images=images)
    assert told["largest_relative_difference"] < 1e-5
    assert (told["checked_images"], told["same_class"]) == (8, 8)
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    expected = logits(model, images)
    for size in (1, 3, 8):
        (found,) = session.run(None, {"images": images[:size].numpy()})
        assert found.shape == (size, 10)
        assert agree(found, expected[:size])


def test_the_lowered_network_is_checked_against_the_trained_one(tmp_path):
    told = write("onnx", tmp_path / "m.onnx", build(SMALL, 0), MERGE_ALL)
    assert told["largest_relative_difference"] < 1e-4
    graph = onnx.load(tmp_path / "m.onnx").graph
    assert graph.name == "mixnet_s"
    assert not [node for node in graph.node if node.op_type == "BatchNormalization"]


def test_properties_are_written(tmp_path):
    metadata = dataclasses.replace(METADATA, classes=("a",))
    write("onnx", tmp_path / "m.onnx", build(MINI, 0), metadata=metadata)
    found = {p.key: p.value for p in onnx.load(tmp_path / "m.onnx").metadata_props}
    assert found == metadata.to_properties()
    assert found["classes"] == '["a"]'
