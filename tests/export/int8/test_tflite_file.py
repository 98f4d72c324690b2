import json

from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from nas.export.writers.tflite_file import run_tflite
from tests.export.int8.checks import check_format, check_refusal
from tests.export.int8.training import fragile, write_run


def test_a_trained_network(tmp_path, instant):
    path, images = check_format("tflite-int8", tmp_path)
    run = run_tflite(lambda batch: Interpreter(model_path=str(path)))
    assert run(images[:1]).shape == (1, 10)
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)

    def data(entry):
        found = model.buffers[entry.buffer].data
        return b"" if found is None else found

    properties = {entry.name.decode(): bytes(data(entry)).decode() for entry in model.metadata}
    assert json.loads(properties["classes"]) == [str(digit) for digit in range(10)]
    tensors = model.subgraphs[0].tensors
    kernels = [tensor for tensor in tensors if tensor.name.endswith(b".weight")]
    assert {tensor.type for tensor in kernels} == {schema.TensorType.INT8}


def test_a_network_with_one_channel_of_huge_values_is_refused(tmp_path, instant):
    run = write_run(tmp_path / "run", fragile())
    check_refusal("tflite-int8", run, tmp_path / "net.tflite")
