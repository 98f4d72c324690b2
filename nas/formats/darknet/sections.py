"""The sections of darknet's .cfg files, and the weights that belong to them."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nas.errors import MixnasError
from nas.ir import Shape

IMAGES = -1  # number of the "layer" that the images are
_VERSION = (0, 2, 5)


@dataclass(frozen=True)
class DarknetModel:
    """A network in darknet's format.

    Attributes:
        cfg: Text of the .cfg file.
        weights: Content of the .weights file.
        bflops: What darknet prints: twice the multiply-adds of all ``[convolutional]`` sections,
            zeros in kernels included, in billions.
    """

    cfg: str
    weights: bytes
    bflops: float


class DarknetSections:
    """Collects the sections of a network, and their weights.

    Layers are numbered from 0, as darknet does; `IMAGES` stands for the images, which no section
    can name: only the first one can take them.
    """

    def __init__(self) -> None:
        self._sections: list[str] = []
        self._arrays: list[np.ndarray] = []
        self._madds = 0

    def add(self, kind: str, path: str, **options: object) -> int:
        """Add a section, and return the number of its layer."""
        self._sections.append(_section(kind, options, path))
        return len(self._sections) - 1

    def back(self, layer: int, path: str, to: str = "go back to") -> int:
        """Return a layer as sections write it, relative to the next one.

        Args:
            layer: Number of the layer.
            path: Path of what needs it, for messages.
            to: What is done with the layer, for messages.

        Raises:
            MixnasError: If it is the images.
        """
        if layer == IMAGES:
            raise refusal(path, f"it cannot {to} the images")
        return layer - len(self._sections)

    def go_to(self, layer: int, path: str) -> None:
        """Let the next section take the output of a layer.

        Raises:
            MixnasError: If there are sections already, and it is the images.
        """
        if layer != len(self._sections) - 1:
            self.add("route", path, layers=self.back(layer, path))

    # -- joining and dividing ---------------------------------------------------------------------

    def added(self, layer: int, other: int, path: str) -> int:
        """Return the sum of two layers.

        Raises:
            MixnasError: If one of them is the images.
        """
        self.back(layer, path, "add")
        self.go_to(layer, path)
        start = self.back(other, path, "add")
        return self.add("shortcut", path, **{"from": start}, activation="linear")

    def multiplied(self, layer: int, other: int, path: str) -> int:
        """Return the product of two layers of the same size.

        Raises:
            MixnasError: If one of them is the images.
        """
        self.back(layer, path, "multiply")
        self.go_to(layer, path)
        start = self.back(other, path, "multiply")
        return self.add("sam", path, **{"from": start}, activation="linear")

    def together(self, layers: Sequence[int], path: str) -> int:
        """Return the concatenation of layers.

        Raises:
            MixnasError: If one of several is the images.
        """
        if len(layers) == 1:
            return layers[0]
        listed = ",".join(str(self.back(layer, path, "concatenate")) for layer in layers)
        return self.add("route", path, layers=listed)

    def sliced(self, x: int, sizes: Sequence[int], number: int, path: str) -> int:
        """Return one of several adjacent slices of the channels of a layer.

        Raises:
            MixnasError: If it is the images.
        """
        if len(sizes) == 1:
            return x
        width = math.gcd(*sizes)
        first = sum(sizes[:number]) // width
        groups = range(first, first + sizes[number] // width)
        parts = [
            self.add(
                "route",
                path,
                layers=self.back(x, path, "slice"),
                groups=sum(sizes) // width,
                group_id=group,
            )
            for group in groups
        ]
        return self.together(parts, path)

    # -- convolutions -----------------------------------------------------------------------------

    def convolutional(
        self,
        x: int,
        shape: Shape,
        kernel: np.ndarray,
        bias: np.ndarray,
        path: str,
        activation: str = "linear",
        groups: int = 1,
        stride: int = 1,
        padding: int = 0,
    ) -> int:
        """Add a convolution of a layer of `shape`, whose kernel is (out, in / groups, size, size).

        Raises:
            MixnasError: If the layer is the images, and there are sections already.
        """
        self.go_to(x, path)
        filters, _, size, _ = kernel.shape
        self._arrays += [bias, kernel]
        rows, columns = ((n + 2 * padding - size) // stride + 1 for n in shape[1:])
        self._madds += kernel.size * rows * columns
        options: dict[str, object] = {"filters": filters, "size": size, "stride": stride}
        if padding:  # `pad=1` stands for half the size
            options |= {"pad": 1} if padding == size // 2 else {"padding": padding}
        if groups > 1:
            options["groups"] = groups
        return self.add("convolutional", path, **options, activation=activation)

    def affine(
        self,
        x: int,
        shape: Shape,
        scale: np.ndarray | float,
        shift: np.ndarray | float,
        path: str,
        activation: str = "linear",
    ) -> int:
        """Add ``activation(scale x + shift)`` of every number, with numbers or one per channel.

        Raises:
            MixnasError: If the layer is the images, and there are sections already.
        """
        channels = shape[0]
        kernel = np.broadcast_to(np.float32(scale), channels)[:, None, None, None]
        bias = np.broadcast_to(np.float32(shift), channels)
        return self.convolutional(x, shape, kernel, bias, path, activation, channels)

    def model(self, shape: Shape, properties: Mapping[str, str]) -> DarknetModel:
        """Return the network.

        Args:
            shape: Shape of one image (C, H, W).
            properties: What to tell in comments, texts by name.
        """
        channels, height, width = shape
        net = {
            "batch": 1,
            "subdivisions": 1,
            "width": width,
            "height": height,
            "channels": channels,
        }
        comments = [
            "# A convolutional network, written by mixnas; its last section gives the logits.",
            *(f"# {name}: {_line(text)}" for name, text in properties.items()),
        ]
        cfg = "\n".join([*comments, _section("net", net), *self._sections])
        header = struct.pack("<iiiQ", *_VERSION, 0)  # 0 is the number of images seen in training
        content = b"".join(array.astype("<f4").tobytes() for array in self._arrays)
        return DarknetModel(cfg, header + content, 2 * self._madds / 1e9)


def refusal(path: str, reason: str) -> MixnasError:
    """Return the error for a layer that darknet has no equal of."""
    return MixnasError(f"darknet cannot write {path or 'the network'}: {reason}")


def _section(kind: str, options: Mapping[str, object], path: str = "") -> str:
    comment = f"# {path}\n" if path else ""
    return f"{comment}[{kind}]\n" + "".join(f"{name}={value}\n" for name, value in options.items())


def _line(text: str) -> str:
    """Return a text that is one line."""
    return text if text.isprintable() else json.dumps(text)
