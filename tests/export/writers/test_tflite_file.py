"""TensorFlow Lite files that are checked before they are written."""

import dataclasses

import pytest

from nas.export.parity import noise
from nas.lowering import MERGE_ALL
from nas.torch_model import build
from tests.export.exporting import MINI, agree, logits, trained_like, write
from tests.formats.test_metadata import METADATA

litert = pytest.importorskip("ai_edge_litert.interpreter")
schema = pytest.importorskip("ai_edge_litert.schema_py_generated")


@pytest.mark.parametrize("choice", [None, MERGE_ALL])
def test_a_file_gives_the_outputs_of_torch(tmp_path, choice):
    model = trained_like(MINI)
    images = noise(MINI)
    told = write("tflite", tmp_path / "m.tflite", model, choice, images=images)
    assert told["largest_relative_difference"] < 1e-5
    assert (told["checked_images"], told["same_class"]) == (8, 8)
    interpreter = litert.Interpreter(model_path=str(tmp_path / "m.tflite"))
    interpreter.allocate_tensors()
    (given,) = interpreter.get_input_details()
    assert given["shape"].tolist() == [1, 16, 16, 3]
    interpreter.set_tensor(given["index"], images[:1].permute(0, 2, 3, 1).contiguous().numpy())
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    assert agree(found, logits(model, images[:1]))


def test_properties_are_written(tmp_path):
    path = tmp_path / "m.tflite"
    metadata = dataclasses.replace(METADATA, classes=("a",))
    write("tflite", path, build(MINI, 0), metadata=metadata)
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes())
    buffers = {m.name.decode(): model.buffers[m.buffer].data for m in model.metadata}
    found = {name: bytes(data).decode() for name, data in buffers.items() if data is not None}
    assert found == {name: text for name, text in metadata.to_properties().items() if text}
