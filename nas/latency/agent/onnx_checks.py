"""Checks of ONNX models, which may keep weights in other files and read them on this machine."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from nas.errors import UnrunnableError


def check_model(model: bytes) -> None:
    """Refuse a model that is damaged or names other files.

    Args:
        model: The serialized model.

    Raises:
        UnrunnableError: If a tensor of the model is in another file, or if it is no ONNX model.
    """
    try:
        parsed = onnx.ModelProto.FromString(model)
    except Exception:  # protobuf's DecodeError, in a package without annotations
        raise UnrunnableError("the body is not an ONNX model") from None
    for tensor in _tensors(parsed):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise UnrunnableError(
                f"the model keeps the data of '{tensor.name[:80]}' in another file, which the "
                "agent does not read; save the model with all its weights inside"
            )


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield all tensors: of the graphs, of the graphs inside nodes, and of all attributes."""
    graphs = [model.graph]
    for training in model.training_info:
        graphs += [training.initialization, training.algorithm]
    nodes = [node for function in model.functions for node in function.node]
    attributes = [default for function in model.functions for default in function.attribute_proto]
    while graphs or nodes or attributes:
        if graphs:
            graph = graphs.pop()
            yield from graph.initializer
            for sparse in graph.sparse_initializer:
                yield from (sparse.values, sparse.indices)
            nodes += graph.node
        attributes += nodes.pop().attribute if nodes else ()
        while attributes:
            attribute = attributes.pop()
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            graphs += [attribute.g, *attribute.graphs]
