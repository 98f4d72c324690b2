import numpy as np
import pytest

from nas.formats.tflite.graph import IDENTIFIER, Graph

pytest.importorskip("ai_edge_litert.interpreter")


def test_constants_are_stored_as_32_bit_numbers():
    graph = Graph()
    kinds = graph.schema.TensorType
    real = graph.constant("real", np.array([1.5, 2.5]))
    whole = graph.constant("whole", np.array([[1, 2]]))
    assert (real, whole) == (0, 1)
    assert [tensor.type for tensor in graph.tensors] == [kinds.FLOAT32, kinds.INT32]
    assert graph.tensors[whole].shape == [1, 2]
    data = [graph.buffers[tensor.buffer].data for tensor in graph.tensors]
    assert data[0].view(np.float32).tolist() == [1.5, 2.5]
    assert data[1].view(np.int32).tolist() == [1, 2]


def test_no_two_tensors_have_the_same_name():
    graph = Graph()
    for name in ("x", "x", "y", "x"):
        graph.tensor(name, (1, 2))
    assert [tensor.name for tensor in graph.tensors] == [b"x", b"x:1", b"y", b"x:2"]


def test_operators_of_one_kind_share_a_code_and_a_model_begins_with_its_identifier():
    graph = Graph()
    x, y, z = (graph.tensor(name, (1, 2)) for name in "xyz")
    assert graph.add("ADD", [x, x], [y], "AddOptions") == y
    graph.add("ADD", [x, y], [z], "AddOptions")
    assert graph.codes == {"ADD": 0}
    model = graph.model(x, z, "name", {"key": "value"})
    assert model[4:8] == IDENTIFIER
    read = graph.schema.ModelT.InitFromPackedBuf(model)
    assert [list(operator.inputs) for operator in read.subgraphs[0].operators] == [[0, 0], [0, 1]]
    assert read.description == b"name"
    (signature,) = read.signatureDefs
    (given,), (taken,) = signature.inputs, signature.outputs
    assert (given.name, given.tensorIndex) == (b"x", x)
    assert (taken.name, taken.tensorIndex) == (b"z", z)
