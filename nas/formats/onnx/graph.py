"""An ONNX graph that is being written: its nodes, constants and known shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from nas.ir import Shape

OPSET = 20
"""Version of the operators: the first with Gelu, which needs ONNX Runtime 1.17 or later."""
# The last before AveragePool learned of dilations. ONNX Runtime's code for the newer operator is
# several times slower wherever the number of channels does not fit its blocked layout.
POOL_OPSET = 18
IR_VERSION = 9
BATCH = "batch"
"""Name of the dynamic dimension."""


class OnnxGraph:
    """Collects nodes and constants, and makes a model of them.

    Every tensor is (N, C, H, W), but for those behind a linear layer, which are (N, features).

    Attributes:
        weights: Weights of the network by name, as in the state dict of the tree's torch module.
        nodes: The nodes so far, in execution order.
        initializers: The constants so far, by name.
    """

    def __init__(self, weights: Mapping[str, np.ndarray]) -> None:
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self._known_shapes: list[onnx.ValueInfoProto] = []
        self._flat: set[str] = set()

    def add(self, op: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """Add a node with one output of the same name, and return the name."""
        self.nodes.append(helper.make_node(op, inputs, [name], name, **attributes))
        if op in ("Flatten", "Gemm") or inputs[0] in self._flat:
            self._flat.add(name)
        return name

    def constant(self, name: str, value: np.ndarray) -> str:
        """Add a constant and return its name."""
        self.initializers[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def weight(self, name: str, shape: Sequence[int] | None = None) -> str:
        """Add a weight of the tree, in another shape if one is given, and return its name."""
        value = self.weights[name]
        return self.constant(name, value if shape is None else value.reshape(shape))

    def split(self, x: str, sizes: Sequence[int], path: str) -> list[str]:
        """Divide the channels of `x` into adjacent slices of given sizes; return their names."""
        if len(sizes) == 1:
            return [x]
        split = self.constant(f"{path}.sizes", np.array(sizes, dtype=np.int64))
        slices = [f"{path}.slice{i}" for i in range(len(sizes))]
        self.nodes.append(helper.make_node("Split", [x, split], slices, f"{path}.split", axis=1))
        return slices

    def reshape(self, x: str, sizes: Sequence[int], name: str) -> str:
        """Give every image of `x` another shape, and return the name of the result."""
        # A size of 0 is that of the input, so that the batch stays dynamic and its name known.
        shape = self.constant(f"{name}.sizes", np.array([0, *sizes], dtype=np.int64))
        return self.add("Reshape", [x, shape], name)

    def know(self, name: str, shape: Shape) -> None:
        """Tell the shape of a tensor, where shape inference would lose the name of the batch."""
        info = helper.make_tensor_value_info(name, TensorProto.FLOAT, [BATCH, *shape])
        self._known_shapes.append(info)

    def opset(self) -> int:
        """Return the version of the operators that the nodes are written in."""
        operators = {node.op_type for node in self.nodes}
        return POOL_OPSET if "AveragePool" in operators and "Gelu" not in operators else OPSET

    def model(
        self, shape: Shape, end: Shape, output: str, name: str, properties: Mapping[str, str]
    ) -> onnx.ModelProto:
        """Return the graph as a checked model.

        Args:
            shape: Shape of one image (C, H, W).
            end: Shape of one output (C, H, W).
            output: Name of the output tensor.
            name: Name of the graph.
            properties: Metadata of the model, texts by name.
        """
        sizes = end[:1] if output in self._flat else end
        graph = helper.make_graph(
            self.nodes,
            name or "network",
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, [BATCH, *shape])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, [BATCH, *sizes])],
            list(self.initializers.values()),
            value_info=self._known_shapes,
        )
        model = helper.make_model(
            graph,
            producer_name="mixnas",
            opset_imports=[helper.make_opsetid("", self.opset())],
            ir_version=IR_VERSION,
        )
        helper.set_model_props(model, dict(properties))
        onnx.checker.check_model(model)
        return model
