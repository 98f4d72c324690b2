"""Checks of TensorFlow Lite models: their structure, and what lies outside of them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from nas.errors import UnrunnableError
from nas.formats.tflite.graph import IDENTIFIER

_LONGEST = 80  # characters of a name in a message


def check_model(model: bytes) -> None:
    """Refuse a model that is damaged, has operators of its own, or keeps data elsewhere.

    Operators of its own would be code that the runtime does not come with; delegates are such
    operators as well.

    Args:
        model: The serialized model.

    Raises:
        UnrunnableError: With the reason.
        ModuleNotFoundError: If LiteRT, which has the schema, is not installed.
    """
    from ai_edge_litert import schema_py_generated as schema

    if model[4:8] != IDENTIFIER:
        raise UnrunnableError("the body is not a TensorFlow Lite model")
    try:
        _check(schema.Model.GetRootAs(model, 0), schema, len(model))
    except UnrunnableError:
        raise
    # An offset beyond the end, in a package without annotations.
    except (struct.error, IndexError, ValueError, TypeError, OverflowError, AttributeError):
        raise UnrunnableError("the body is a damaged TensorFlow Lite model") from None


def _check(model: Any, schema: Any, size: int) -> None:
    operators = schema.BuiltinOperator
    own = (operators.CUSTOM, operators.DELEGATE, operators.STABLEHLO_CUSTOM_CALL)
    for code in _entries(model.OperatorCodes, model.OperatorCodesLength(), size):
        if code.CustomCode() is not None or {code.BuiltinCode(), code.DeprecatedBuiltinCode()} & {
            *own
        }:
            name = (code.CustomCode() or b"").decode("utf-8", "replace")[:_LONGEST]
            raise UnrunnableError(
                f"the model has an operator of its own{f' ({name})' if name else ''}; the agent "
                "only runs models of built-in operators"
            )
    if model.ExternalBuffersLength() or model.ExternalBufferGroupsLength():
        raise _outside("its buffers")
    for buffer in _entries(model.Buffers, model.BuffersLength(), size):
        if buffer.Offset() or buffer.Size():
            raise _outside("a buffer")
    for graph in _entries(model.Subgraphs, model.SubgraphsLength(), size):
        for tensor in _entries(graph.Tensors, graph.TensorsLength(), size):
            if tensor.ExternalBuffer():
                name = (tensor.Name() or b"").decode("utf-8", "replace")[:_LONGEST]
                raise _outside(f"'{name}'")
        for operator in _entries(graph.Operators, graph.OperatorsLength(), size):
            if operator.LargeCustomOptionsOffset() or operator.LargeCustomOptionsSize():
                raise _outside("an operator's options")


def _entries(entry: Any, length: int, size: int) -> Iterator[Any]:
    """Yield the entries of a vector, whose length may be made up."""
    if length * 4 > size:  # each entry has an offset of four bytes
        raise UnrunnableError("the body is a damaged TensorFlow Lite model")
    for index in range(length):
        yield entry(index)


def _outside(what: str) -> UnrunnableError:
    return UnrunnableError(
        f"the model keeps the data of {what} outside of itself, which the agent does not read; "
        "save the model with all its weights inside"
    )
