"""Layer trees as Python files that need torch only.

The text is written from the tree: a class for each kind of layer that torch does not have, and the
network as nested modules. Names of weights are those of the tree's torch module. Nothing that a
spec or a data set says becomes code: it is written as literals.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from nas.formats.python_files.classes import ACTIVATIONS, BASES, CLASSES
from nas.formats.python_files.text import Argument, Call, call, constants_text, lines
from nas.ir import (
    Activation,
    BatchNorm,
    Conv,
    GlobalPool,
    Linear,
    MixConv,
    Node,
    Pad,
    Residual,
    Seq,
    Shape,
    Slices,
    SqueezeExcite,
    Sum,
    end_shape,
    input_channels,
    nested,
)

_FILE = '''"""A convolutional network, written by mixnas; it needs torch only.

`load` returns it with its weights, which are in the file of the same name that ends in .pt.
"""

from pathlib import Path

import torch{functional}
from torch import Tensor, nn

WEIGHTS = Path(__file__).with_suffix(".pt")
{constants}

{classes}

class Network(nn.Module):
    """The network: images {images} -> logits (batch, {outputs})."""

    def __init__(self) -> None:
        super().__init__()
{parts}

    def forward(self, x: Tensor) -> Tensor:
{steps}
        return x


def load(weights: Path = WEIGHTS) -> Network:
    """Return the network with its weights, ready to classify images."""
    network = Network()
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return network.eval()


if __name__ == "__main__":
    with torch.inference_mode():
        print(tuple(load()(torch.randn(1, *INPUT)).shape))
'''


class _ModuleWriter:
    """Writes modules as calls, and collects the classes that they need."""

    def __init__(self) -> None:
        self.used: set[str] = set()

    def own(self, name: str, arguments: Iterable[Argument]) -> Call:
        """Return a call of a class that is written into the file."""
        self.used |= {name, BASES.get(name, name)}
        return Call(name, tuple(arguments))

    def module(self, node: Node, shape: Shape) -> Call:
        """Return a tree as a call that makes its module; `shape` is that of its input."""
        match node:
            case Seq() | Residual():
                name = "Sequence" if isinstance(node, Seq) else "Residual"
                return self.own(name, self._in_turn(node, shape))
            case Sum():
                return self.own("Sum", [self._child(n, child, shape) for n, child in node.children])
            case Slices():
                sizes = [input_channels(child) for _, child in node.children]
                branches = [
                    self._child(name, child, (size, *shape[1:]))
                    for (name, child), size in zip(node.children, sizes, strict=True)
                ]
                return self.own("Slices", [*branches, Argument(str(tuple(sizes)), "sizes=")])
            case MixConv():
                return self.own("MixConv", [Argument(self._conv(conv)) for conv in node.convs])
            case Conv():
                return self._conv(node)
            case SqueezeExcite():
                ends = (node.reduce.in_channels, node.reduce.out_channels)
                made = call("SqueezeExcite", *ends, _activation(node.activation))
                return self.own(made.name, made.arguments)
        return _layer(node)

    def _in_turn(self, node: Seq | Residual, shape: Shape) -> list[Argument]:
        found = []
        for name, child in node.children:
            argument = self._child(name, child, shape)
            shape = end_shape(child, shape)
            if name.isdecimal() and not _is_numbered(child):  # a block says what comes out of it
                channels, height, width = shape
                note = f"{channels} channels, {height} x {width}"
                argument = replace(argument, note=note)
            found.append(argument)
        return found

    def _child(self, name: str, child: Node, shape: Shape) -> Argument:
        if not name.isdecimal():
            _refuse_other_than_names(name)
        return Argument(self.module(child, shape), "" if name.isdecimal() else f"{name}=")

    def _conv(self, conv: Conv) -> Call:
        sizes = (conv.in_channels, conv.out_channels)
        rows, columns = conv.window
        options: dict[str, Any] = {}
        name, pads = "nn.Conv2d", (conv.margin,) * 4
        if conv.padding == "same" and conv.stride > 1:
            name, pads = "SameConv2d", (0,) * 4
        elif not isinstance(conv.padding, str):
            pads = conv.padding
        top, left, bottom, right = pads
        if (top, left) != (bottom, right):
            name, options["pads"] = "PaddedConv2d", (left, right, top, bottom)
        elif top or left:
            options["padding"] = top if top == left else (top, left)
        if conv.stride > 1:
            options = {"stride": conv.stride, **options}
        if conv.dilation > 1:
            options["dilation"] = conv.dilation
        if conv.groups > 1:
            options["groups"] = conv.groups
        if not conv.bias:
            options["bias"] = False
        made = call(name, *sizes, rows if rows == columns else (rows, columns), **options)
        return made if name == "nn.Conv2d" else self.own(name, made.arguments)


def _refuse_other_than_names(name: str) -> None:
    if not name.isidentifier() or keyword.iskeyword(name):
        raise ValueError(f"'{name}' cannot be a name in Python")


def _layer(node: Node) -> Call:
    match node:
        case BatchNorm():
            usual = BatchNorm(node.channels)
            options = {
                name: value
                for name in ("eps", "momentum")
                if (value := getattr(node, name)) != getattr(usual, name)
            }
            return call("nn.BatchNorm2d", node.channels, **options)
        case Activation():
            return _activation(node.function)
        case Pad():
            top, left, bottom, right = node.pads
            return call("nn.ZeroPad2d", (left, right, top, bottom))
        case GlobalPool():
            return call("nn.AdaptiveAvgPool2d", 1)
        case Linear():
            return call("nn.Linear", node.in_features, node.out_features)
    raise TypeError(f"{type(node).__name__} cannot be written as a module of torch")


def _activation(function: str) -> Call:
    return Call(f"nn.{ACTIVATIONS[function]}")


def _is_numbered(node: Node) -> bool:
    return isinstance(node, Seq) and node.children[0][0] == "0"


def to_pytorch(tree: Seq, shape: Shape, constants: Mapping[str, Any]) -> str:
    """Return a layer tree as the text of a Python file.

    Its function ``load`` returns the network with the weights from the file of the same name that
    ends in ``.pt``, a state dict with the names of the tree's torch module.

    Args:
        tree: The network.
        shape: Shape of one image (C, H, W).
        constants: Plain data to write as constants of the file, by name.

    Raises:
        ValueError: If a name in the tree cannot be one in Python.
    """
    writer, inner = _ModuleWriter(), shape
    parts, steps = [], []
    nested_tree = nested(tree)
    assert isinstance(nested_tree, Seq)
    for name, child in nested_tree.children:
        _refuse_other_than_names(name)
        parts += lines(writer.module(child, inner), " " * 8, f"self.{name} = ")
        given = "torch.flatten(x, 1)" if isinstance(child, Linear) else "x"
        steps.append(f"        x = self.{name}({given})")
        inner = end_shape(child, inner)
    classes = [source for name, source in CLASSES.items() if name in writer.used]
    functional = any("F." in source for source in classes)
    texts = {
        "images": f"(batch, {', '.join(map(str, shape))})",
        "outputs": inner[0],
        "functional": "\nimport torch.nn.functional as F" if functional else "",
        "constants": constants_text({"INPUT": shape, **constants}),
        "classes": "\n".join(classes),
        "parts": "\n".join(parts),
        "steps": "\n".join(steps),
    }
    return _FILE.format(**texts)
