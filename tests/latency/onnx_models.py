"""ONNX models that were not written from a layer tree."""

from onnx import TensorProto, helper


def model(*inputs, kind=TensorProto.FLOAT):
    """Return a serialized model whose output is its first input."""
    values = [helper.make_tensor_value_info(f"x{i}", kind, s) for i, s in enumerate(inputs)]
    out = helper.make_tensor_value_info("out", kind, None)
    graph = helper.make_graph([helper.make_node("Identity", ["x0"], ["out"])], "m", values, [out])
    opset = [helper.make_opsetid("", 20)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()
