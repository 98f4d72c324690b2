"""TensorFlow Lite files that are checked before they are written."""

import numpy as np
import pytest
import torch

from nas.errors import MixnasError
from nas.export import tflite_file
from nas.export.parity import Parity, noise
from nas.export.tflite_file import export_tflite
from nas.lowering import MERGE_ALL
from nas.spec import Input
from nas.torch_model import build
from tests.networks import TINY, trained_like

litert = pytest.importorskip("ai_edge_litert.interpreter")
schema = pytest.importorskip("ai_edge_litert.schema_py_generated")

MINI = TINY.replace(input=Input(resolution=16))


@pytest.mark.parametrize("choice", [None, MERGE_ALL])
def test_a_file_gives_the_outputs_of_torch(tmp_path, choice):
    model = trained_like(MINI)
    images = noise(MINI)
    parity = export_tflite(model, tmp_path / "m.tflite", choice, images)
    assert parity.difference < 1e-5
    assert (parity.images, parity.same_class) == (8, 8)
    interpreter = litert.Interpreter(model_path=str(tmp_path / "m.tflite"))
    interpreter.allocate_tensors()
    (given,) = interpreter.get_input_details()
    assert given["shape"].tolist() == [1, 16, 16, 3]
    interpreter.set_tensor(given["index"], images[:1].permute(0, 2, 3, 1).contiguous().numpy())
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    with torch.no_grad():
        assert np.allclose(found, model(images[:1]).numpy(), atol=1e-5)


def test_nothing_is_written_if_the_outputs_differ(tmp_path, monkeypatch):
    monkeypatch.setattr(tflite_file, "compare", lambda *_: Parity(0.5, 8, 8))
    with pytest.raises(MixnasError, match=r"differ by 5.0e-01 from torch's"):
        export_tflite(build(MINI, 0), tmp_path / "m.tflite")
    assert list(tmp_path.iterdir()) == []


def test_properties_are_written(tmp_path):
    path = tmp_path / "m.tflite"
    export_tflite(build(MINI, 0), path, properties={"classes": '["a"]'})
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes())
    (found,) = model.metadata
    assert found.name == b"classes"
    assert bytes(model.buffers[found.buffer].data) == b'["a"]'
