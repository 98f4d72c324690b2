"""TensorFlow Lite models as flatbuffers: tensors, operators and metadata.

The schema is the one that LiteRT ships.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

IDENTIFIER = b"TFL3"
SCHEMA_VERSION = 3
SIGNATURE = "serving_default"  # the name that converters give to the only one of a model


class Graph:
    """Collects the tensors, constants and operators of a model.

    Attributes:
        schema: The module with the classes and enumerations of the format.
    """

    def __init__(self) -> None:
        """Open an empty graph.

        Raises:
            ModuleNotFoundError: If LiteRT, which has the schema, is not installed.
        """
        from ai_edge_litert import schema_py_generated as schema

        self.schema: Any = schema
        self.tensors: list[Any] = []
        self.uses: Counter[str] = Counter()  # of the names of tensors
        self.operators: list[Any] = []
        self.codes: dict[str, int] = {}
        self.buffers: list[Any] = [self._buffer(b"")]  # the first stands for "no data"

    # -- tensors ------------------------------------------------------------------------------

    def tensor(
        self, name: str, shape: Sequence[int], buffer: int = 0, integers: bool = False
    ) -> int:
        """Add a tensor of 32-bit numbers, and return its index.

        Args:
            name: Its name, to which a number is added if another tensor has it: quantizers tell
                tensors apart by their names.
            shape: Its shape.
            buffer: Index of the buffer with its values; 0 for none.
            integers: Whether the numbers are integers.
        """
        tensor = self.schema.TensorT()
        used = self.uses[name]
        self.uses[name] += 1
        tensor.name = (f"{name}:{used}" if used else name).encode()
        tensor.shape = list(shape)
        kinds = self.schema.TensorType
        tensor.type = kinds.INT32 if integers else kinds.FLOAT32
        tensor.buffer = buffer
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def constant(self, name: str, value: np.ndarray) -> int:
        """Add a tensor with values, and return its index."""
        integers = value.dtype.kind == "i"
        value = np.ascontiguousarray(value, dtype=np.int32 if integers else np.float32)
        self.buffers.append(self._buffer(value.tobytes()))
        return self.tensor(name, value.shape, len(self.buffers) - 1, integers)

    def rename(self, tensor: int, name: str) -> None:
        """Give a tensor another name."""
        self.tensors[tensor].name = name.encode()

    def _buffer(self, data: bytes) -> Any:
        buffer = self.schema.BufferT()
        buffer.data = np.frombuffer(data, dtype=np.uint8) if data else None
        return buffer

    # -- operators ----------------------------------------------------------------------------

    def add(
        self,
        op: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        options: str = "",
        **fields: Any,
    ) -> int:
        """Add an operator, and return its first output."""
        operator = self.schema.OperatorT()
        operator.opcodeIndex = self.codes.setdefault(op, len(self.codes))
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        if options:
            operator.builtinOptionsType = getattr(self.schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(self.schema, f"{options}T")()
            for field, value in fields.items():
                setattr(operator.builtinOptions, field, value)
        self.operators.append(operator)
        return outputs[0]

    # -- the model --------------------------------------------------------------------------------

    def model(self, images: int, logits: int, name: str, properties: Mapping[str, str]) -> bytes:
        """Return the serialized model."""
        import flatbuffers

        graph = self.schema.SubGraphT()
        graph.name = name.encode()
        graph.tensors, graph.operators = self.tensors, self.operators
        graph.inputs, graph.outputs = [images], [logits]
        model = self.schema.ModelT()
        model.version = SCHEMA_VERSION
        model.description = name.encode()
        model.subgraphs = [graph]
        model.signatureDefs = [self._signature(images, logits)]
        model.operatorCodes = [self._code(op) for op in self.codes]
        model.metadata = [self._metadata(key, value) for key, value in properties.items()]
        model.buffers = self.buffers
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
        return bytes(builder.Output())

    def _signature(self, images: int, logits: int) -> Any:
        """Return the names of the input and the output, for runners of signatures."""
        signature = self.schema.SignatureDefT()
        signature.signatureKey = SIGNATURE.encode()
        signature.inputs, signature.outputs = [self._named(images)], [self._named(logits)]
        return signature

    def _named(self, tensor: int) -> Any:
        named = self.schema.TensorMapT()
        named.name, named.tensorIndex = self.tensors[tensor].name, tensor
        return named

    def _code(self, op: str) -> Any:
        code = self.schema.OperatorCodeT()
        code.builtinCode = getattr(self.schema.BuiltinOperator, op)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = 1
        return code

    def _metadata(self, key: str, value: str) -> Any:
        metadata = self.schema.MetadataT()
        metadata.name = key.encode()
        self.buffers.append(self._buffer(value.encode()))
        metadata.buffer = len(self.buffers) - 1
        return metadata
