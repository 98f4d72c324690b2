"""Models that name other files."""

import pytest
from onnx import SparseTensorProto, TensorProto, helper

from nas.errors import UnrunnableError
from nas.latency.agent.onnx_checks import check_model

IMAGE = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, 8, 8])
OUT = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)


def outside(name="w", path="/etc/passwd"):
    """Return a tensor whose data is in another file."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[4])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=path)
    return tensor


def inside():
    return helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])


def sparse(tensor):
    return SparseTensorProto(values=tensor, indices=inside(), dims=[4])


def model(nodes=(), initializers=(), sparse_initializers=(), functions=()):
    graph = helper.make_graph(list(nodes), "g", [IMAGE], [OUT], list(initializers))
    graph.sparse_initializer.extend(sparse_initializers)
    return helper.make_model(graph, functions=list(functions))


def branch(tensor):
    body = helper.make_graph(
        [helper.make_node("Constant", [], ["c"], value=tensor)], "b", [], [OUT]
    )
    return helper.make_node("If", ["x"], ["out"], then_branch=body)


def function(tensor):
    node = helper.make_node("Constant", [], ["c"], value=tensor)
    return helper.make_function("own", "f", [], ["c"], [node], [helper.make_opsetid("", 20)])


def training(tensor):
    made = model()
    made.training_info.add().algorithm.initializer.append(tensor)
    return made


def many(tensor):
    node = helper.make_node("Own", [], ["out"])
    node.attribute.add(name="ts", type=9).tensors.extend([inside(), tensor])
    node.attribute.add(name="gs", type=10).graphs.add()
    node.attribute.add(name="ss", type=12).sparse_tensors.append(sparse(inside()))
    return node


def default_of_a_function(tensor):
    called = function(inside())
    called.attribute_proto.append(helper.make_attribute("value", tensor))
    return model(functions=[called])


WAYS = {
    "default of a function": default_of_a_function,
    "initializer": lambda t: model(initializers=[inside(), t]),
    "sparse": lambda t: model(sparse_initializers=[sparse(t)]),
    "constant": lambda t: model([helper.make_node("Constant", [], ["out"], value=t)]),
    "sparse constant": lambda t: model(
        [helper.make_node("Constant", [], ["out"], sparse_value=sparse(t))]
    ),
    "list": lambda t: model([many(t)]),
    "branch": lambda t: model([helper.make_node("Identity", ["images"], ["out"]), branch(t)]),
    "branch in a branch": lambda t: model(
        [
            helper.make_node(
                "If",
                ["x"],
                ["out"],
                then_branch=helper.make_graph([branch(t)], "b", [], [OUT]),
            )
        ]
    ),
    "function": lambda t: model(functions=[function(t)]),
    "training": training,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_tensor_in_another_file_is_refused_wherever_it_is(way):
    with pytest.raises(UnrunnableError, match="the model keeps the data of 'w' in another file"):
        check_model(WAYS[way](outside()).SerializeToString())
    check_model(WAYS[way](inside()).SerializeToString())


def test_a_file_that_is_named_without_being_used_is_refused():
    tensor = inside()
    tensor.external_data.add(key="location", value="weights.bin")
    with pytest.raises(UnrunnableError, match="save the model with all its weights inside"):
        check_model(model(initializers=[tensor]).SerializeToString())


def test_what_is_not_a_model_is_refused():
    with pytest.raises(UnrunnableError, match="the body is not an ONNX model"):
        check_model(b"\x08" + b"garbage" * 1000)
