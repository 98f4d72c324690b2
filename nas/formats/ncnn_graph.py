"""ncnn models: layers as text, their weights as bytes, and both in one container."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nas.errors import UnrunnableError
from nas.ir import Shape

Values = int | float | Sequence[int] | Sequence[float]
PARAM_MAGIC = "7767517"
_ARRAY = -23300  # ncnn's key of an array parameter is this, less the parameter's number
_FLOAT32 = 0  # flag before weights that are stored as they are
_NO_TEXT = re.compile(r"[^\n -~]")
_PARAMETER = re.compile(r"-?\d{1,9}=[-+.,\deE]+")
_HEADER = struct.Struct("<8sQQ")
_MAGIC = b"mixncnn1"


@dataclass(frozen=True)
class NcnnModel:
    """The two files of an ncnn model.

    Attributes:
        param: The layers, the content of the ``.param`` file.
        weights: The weights, the content of the ``.bin`` file.
    """

    param: str
    weights: bytes

    def packed(self) -> bytes:
        """Return both files in one container.

        It begins with the eight characters ``mixncnn1`` and the numbers of bytes of the two files,
        as 64-bit little-endian integers. The files follow, and nothing after them.
        """
        param = self.param.encode()
        return _HEADER.pack(_MAGIC, len(param), len(self.weights)) + param + self.weights

    @staticmethod
    def unpacked(container: bytes) -> NcnnModel:
        """Return the files in a container, which may come from anybody.

        Raises:
            UnrunnableError: If the container is damaged, or if its network claims more layers or
                blobs than it names.
        """
        if len(container) < _HEADER.size:
            raise UnrunnableError("the model is no ncnn model: it is too short")
        magic, param_bytes, weight_bytes = _HEADER.unpack_from(container)
        if magic != _MAGIC:
            raise UnrunnableError(f"the model is no ncnn model: it does not begin with {_MAGIC!r}")
        expected = _HEADER.size + param_bytes + weight_bytes
        if len(container) != expected:
            raise UnrunnableError(
                f"the ncnn model is damaged: it has {len(container)} bytes, not {expected}"
            )
        end = _HEADER.size + param_bytes
        try:
            param = container[_HEADER.size : end].decode()
        except UnicodeDecodeError:
            param = "\0"
        if _NO_TEXT.search(param):
            raise UnrunnableError("the ncnn model is damaged: its layers are not ASCII text")
        _check_counts(param)
        return NcnnModel(param, container[end:])

    def image_shape(self) -> Shape:
        """Return the shape of the images that the network takes (C, H, W).

        Raises:
            UnrunnableError: If the network's only input is not an image of a fixed size.
        """
        inputs = [line.split() for line in self.param.split("\n") if line.startswith("Input ")]
        fields = dict(item.split("=", 1) for item in (inputs or [[]])[0] if "=" in item)
        sizes = [fields.get(key, "") for key in "210"]
        if len(inputs) != 1 or not all(map(_count, sizes)):
            raise UnrunnableError(
                "the ncnn model must have one input with fixed channels, height and width"
            )
        channels, height, width = map(int, sizes)
        return channels, height, width


def _check_counts(param: str) -> None:
    """Refuse text that claims more layers or blobs than it has, for which memory would be taken."""
    lines = [line.split() for line in param.split("\n") if line.strip()]
    counts = [_count(word) for word in (lines[1] if len(lines) > 1 else [])]
    if lines[:1] != [[PARAM_MAGIC]] or len(counts) != 2 or None in counts:
        raise UnrunnableError("the ncnn model is damaged: its text does not begin as ncnn's does")
    outputs = [_outputs(line) for line in lines[2:]]
    if None in outputs:
        raise UnrunnableError(
            "the ncnn model is damaged: a layer claims more inputs and outputs than it names, or "
            "has other words than parameters after them"
        )
    found = [len(outputs), sum(number or 0 for number in outputs)]
    if counts != found:
        raise UnrunnableError(
            f"the ncnn model is damaged: it claims {counts[0]} layers and {counts[1]} blobs, but "
            f"has {found[0]} and {found[1]}"
        )


def _count(word: str) -> int | None:
    """Return a number of at most nine digits; None for anything else."""
    return int(word) if word.isdecimal() and word.isascii() and len(word) < 10 else None


def _outputs(line: list[str]) -> int | None:
    """Return the number of outputs of a layer: type, name, numbers of inputs and outputs, names.

    What follows must be parameters: ncnn reads words, not lines, and would take it for a layer.
    """
    inputs, outputs = (_count(word) for word in [*line, "", "", "", ""][2:4])
    if inputs is None or outputs is None or len(line) < 4 + inputs + outputs:
        return None
    parameters = line[4 + inputs + outputs :]
    return outputs if all(map(_PARAMETER.fullmatch, parameters)) else None


class NcnnGraph:
    """Collects the layers and weights of a model.

    Every blob (tensor) is named after the layer that makes it, and is the input of one layer only:
    `copies` makes more of one.
    """

    def __init__(self) -> None:
        self._layers: list[tuple[str, str, list[str], list[str], str]] = []
        self._weights: list[bytes] = []

    def add(
        self,
        kind: str,
        name: str,
        inputs: Sequence[str],
        params: Mapping[int, Values],
        outputs: Sequence[str] = (),
    ) -> str:
        """Add a layer, and return its first output.

        Args:
            kind: Its type in ncnn.
            name: Its name.
            inputs: Names of its inputs.
            params: Its parameters by number.
            outputs: Names of its outputs; the layer's own if empty.
        """
        ends = list(outputs) or [name]
        text = " ".join(_parameter(key, value) for key, value in params.items())
        self._layers.append((kind, name, list(inputs), ends, text))
        return ends[0]

    def copies(self, x: str, count: int, name: str) -> list[str]:
        """Return a blob as often as it is needed."""
        if count == 1:
            return [x]
        names = [f"{name}_{i}" for i in range(count)]
        self.add("Split", name, [x], {}, names)
        return names

    def weights(self, value: np.ndarray, flagged: bool) -> int:
        """Add the next weights of the layer that was added last, and return their number.

        Args:
            value: The weights, which become float32.
            flagged: Whether ncnn reads a flag with their type before them, as it does for matrices
                and kernels, but not for biases.
        """
        data = np.ascontiguousarray(value, dtype="<f4")
        self._weights.append((struct.pack("<I", _FLOAT32) if flagged else b"") + data.tobytes())
        return data.size

    def model(self, output: str, name: str) -> NcnnModel:
        """Return the model whose output is a blob, under another name."""
        lines = []
        blobs = 0
        for kind, layer, inputs, outputs, params in self._layers:
            ends = [name if blob == output else blob for blob in outputs]
            blobs += len(ends)
            words = [kind, layer, str(len(inputs)), str(len(ends)), *inputs, *ends, params]
            lines.append(" ".join(word for word in words if word))
        text = "\n".join([PARAM_MAGIC, f"{len(lines)} {blobs}", *lines, ""])
        return NcnnModel(text, b"".join(self._weights))


def _parameter(key: int, value: Values) -> str:
    if isinstance(value, (int, float)):
        return f"{key}={_number(value)}"
    return f"{_ARRAY - key}={','.join([str(len(value)), *map(_number, value)])}"


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.8e}"
