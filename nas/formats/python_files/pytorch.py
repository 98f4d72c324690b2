"""Layer trees as Python files that need torch only.

The text is written from the tree: a class for each kind of layer that torch does not have, and the
network as nested modules. Names of weights are those of the tree's torch module. Nothing that a
spec or a data set says becomes code: it is written as literals.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from nas.formats.python_files.classes import sources
from nas.formats.python_files.layers import layer
from nas.formats.python_files.text import Argument, Call, call, constants_text, lines
from nas.ir import (
    Branches,
    Cascade,
    Container,
    Linear,
    Node,
    Residual,
    Seq,
    Shape,
    Slices,
    branch_inputs,
    end_shape,
    nested,
    slice_sizes,
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


def _module(node: Node, shape: Shape) -> Call:
    """Return a tree as a call that makes its module; `shape` is that of its input."""
    if not isinstance(node, Container):
        return layer(node)
    if not node.children and isinstance(node, Seq):
        return call("nn.Identity")
    keys = _keys([name for name, _ in node.children])
    if isinstance(node, Branches):
        inputs = branch_inputs(node, shape)
        arguments = [
            Argument(_module(child, taken), key)
            for key, (_, child), taken in zip(keys, node.children, inputs, strict=True)
        ]
        if isinstance(node, (Slices, Cascade)):
            arguments.append(Argument(str(slice_sizes(node)), "sizes="))
        return Call(type(node).__name__, tuple(arguments))
    name = "Sequence" if isinstance(node, Seq) else "Residual"
    return Call(name, tuple(_in_turn(node, keys, shape)))


def _in_turn(node: Seq | Residual, keys: list[str], shape: Shape) -> Iterator[Argument]:
    for key, (_, child) in zip(keys, node.children, strict=True):
        argument = Argument(_module(child, shape), key)
        shape = end_shape(child, shape)
        if not key and not _is_numbered(child):  # a block says what comes out of it
            channels, height, width = shape
            argument = replace(argument, note=f"{channels} channels, {height} x {width}")
        yield argument


def _keys(names: list[str]) -> list[str]:
    """Return what stands before the children of a container; the first ones may be numbered.

    Raises:
        ValueError: If a name cannot be one in Python.
    """
    numbered = 0
    while numbered < len(names) and names[numbered] == str(numbered):
        numbered += 1
    for name in names[numbered:]:
        _refuse_other_than_names(name)
    return [""] * numbered + [f"{name}=" for name in names[numbered:]]


def _refuse_other_than_names(name: str) -> None:
    if not name.isidentifier() or keyword.iskeyword(name):
        raise ValueError(f"'{name}' cannot be a name in Python")


def _is_numbered(node: Node) -> bool:
    return isinstance(node, Seq) and [name for name, _ in node.children[:1]] == ["0"]


def _called(calls: Iterable[Call | str]) -> Iterator[str]:
    """Yield the names of everything that is called."""
    for made in calls:
        if isinstance(made, Call):
            yield made.name
            yield from _called(argument.value for argument in made.arguments)


def to_pytorch(tree: Seq, shape: Shape, constants: Mapping[str, Any]) -> str:
    """Return a layer tree as the text of a Python file.

    Its function ``load`` returns the network with the weights from the file of the same name that
    ends in ``.pt``, a state dict with the names of the tree's torch module.

    Args:
        tree: The network.
        shape: Shape of one image (C, H, W).
        constants: Plain data to write as constants of the file, by name.

    Raises:
        ValueError: If a name in the tree cannot be one in Python, or a layer cannot be written
            (see `layer`).
    """
    inner = shape
    calls: list[Call] = []
    parts, steps = [], []
    nested_tree = nested(tree)
    assert isinstance(nested_tree, Seq)
    for name, child in nested_tree.children:
        _refuse_other_than_names(name)
        made, given = _module(child, inner), "x"
        if isinstance(child, Linear):
            made, given = replace(made, name="nn.Linear"), "torch.flatten(x, 1)"
        calls.append(made)
        parts += lines(made, " " * 8, f"self.{name} = ")
        steps.append(f"        x = self.{name}({given})")
        inner = end_shape(child, inner)
    classes = sources(_called(calls))
    functional = any("F." in source for source in classes)
    texts = {
        "images": f"(batch, {', '.join(map(str, shape))})",
        "outputs": inner[0],
        "functional": "\nimport torch.nn.functional as F" if functional else "",
        "constants": constants_text({"INPUT": shape, **constants}),
        "classes": "".join(f"\n{source}" for source in classes),
        "parts": "\n".join(parts),
        "steps": "\n".join(steps),
    }
    return _FILE.format(**texts)
