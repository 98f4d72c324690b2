"""What a model says besides its nodes, and the constants of graphs."""

import numpy as np
import onnx
import pytest

from nas.formats.onnx import OPSET, to_onnx
from nas.formats.onnx.graph import POOL_OPSET, OnnxGraph
from nas.ir import Activation, BatchNorm, Pool, Seq
from nas.latency.weights import realistic_weights

TREE = Seq((("norm", BatchNorm(3)),))
WEIGHTS = realistic_weights(TREE)


def test_names_of_input_and_output_and_versions():
    model = to_onnx(TREE, (3, 5, 4), WEIGHTS)
    (images,) = model.graph.input
    assert images.name == "images"
    dims = images.type.tensor_type.shape.dim
    assert [dim.dim_param or dim.dim_value for dim in dims] == ["batch", 3, 5, 4]
    assert [output.name for output in model.graph.output] == ["logits"]
    assert [opset.version for opset in model.opset_import] == [OPSET]


def test_properties_are_the_metadata_of_the_model():
    properties = {"classes": '["ant", "b\u00e9e"]', "command": "python -m nas.train"}
    model = to_onnx(TREE, (3, 5, 4), WEIGHTS, properties=properties)
    written = onnx.load_from_string(model.SerializeToString())
    assert {prop.key: prop.value for prop in written.metadata_props} == properties
    assert len(to_onnx(TREE, (3, 5, 4), WEIGHTS).metadata_props) == 0


@pytest.mark.parametrize(
    ("function", "kind", "version"),
    [
        ("relu", "average", POOL_OPSET),
        ("gelu", "average", OPSET),  # which the older version does not have
        ("mish", "max", OPSET),
        ("mish", "average", POOL_OPSET),
        ("hard_swish", "average", POOL_OPSET),
    ],
)
def test_an_average_is_written_in_the_version_that_has_fast_code(function, kind, version):
    tree = Seq((("act", Activation(function)), ("pool", Pool(kind, 3))))
    model = to_onnx(tree, (3, 5, 4), {})
    assert [opset.version for opset in model.opset_import] == [version]


def test_a_split_into_one_part_is_no_node():
    graph = OnnxGraph({})
    assert graph.split("x", [4], "all") == ["x"]
    assert graph.split("x", [1, 3], "both") == ["both.slice0", "both.slice1"]
    assert [node.name for node in graph.nodes] == ["both.split"]


def test_weights_are_constants_in_a_given_shape():
    graph = OnnxGraph({"scale": np.arange(3, dtype=np.float32)})
    assert graph.weight("scale") == "scale"
    assert list(graph.initializers["scale"].dims) == [3]
    graph.weight("scale", (3, 1, 1))
    assert list(graph.initializers["scale"].dims) == [3, 1, 1]
