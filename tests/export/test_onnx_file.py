"""ONNX files that are checked before they are written."""

import numpy as np
import onnx
import onnxruntime
import pytest

from nas.errors import MixnasError
from nas.export import onnx_file
from nas.export.onnx_file import export_onnx, largest_difference
from nas.formats.onnx import to_onnx
from nas.lowering import MERGE_ALL
from nas.spec import Input, load_network
from nas.torch_model import build, weights_of

SMALL = load_network("mixnet_s").replace(input=Input(resolution=32))


def test_the_batch_size_is_dynamic(tmp_path):
    difference = export_onnx(build(SMALL, 0), tmp_path / "m.onnx")
    assert 0 <= difference < 1e-5
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    images = np.zeros((3, 3, 32, 32), dtype=np.float32)
    assert session.run(None, {"images": images})[0].shape == (3, 1000)


def test_the_lowered_network_is_checked_against_the_trained_one(tmp_path):
    assert export_onnx(build(SMALL, 0), tmp_path / "m.onnx", MERGE_ALL) < 1e-4
    graph = onnx.load(tmp_path / "m.onnx").graph
    assert graph.name == "mixnet_s"
    assert not [node for node in graph.node if node.op_type == "BatchNormalization"]


def test_a_difference_is_measured_relative_to_the_largest_output():
    model = build(SMALL, 0)
    weights = weights_of(model)
    for name in ("classifier.weight", "classifier.bias"):
        weights[name] = 2 * weights[name]
    graph = to_onnx(SMALL.tree(), SMALL.in_shape, weights).SerializeToString()
    assert largest_difference(model, graph) == pytest.approx(1.0, rel=1e-3)


def test_nothing_is_written_if_the_outputs_differ(tmp_path, monkeypatch):
    for value in (0.5, float("nan")):
        monkeypatch.setattr(onnx_file, "largest_difference", lambda *_, value=value: value)
        with pytest.raises(MixnasError, match=r"differ by .* \(allowed: 1e-04\); no file was wr"):
            export_onnx(build(SMALL, 0), tmp_path / "m.onnx")
        assert list(tmp_path.iterdir()) == []
