"""Walking layer trees."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import NamedTuple

from nas.ir.nodes import BatchNorm, Container, Leaf, Node, Residual, Seq, Shape, Slices, Sum
from nas.ir.shapes import input_channels, out_shape


class Layer(NamedTuple):
    """A leaf together with its position in the tree.

    Attributes:
        path: Names of its ancestors and its own name, joined by dots.
        leaf: The leaf itself.
        in_shape: Shape of its input.
        out_shape: Shape of its output.
    """

    path: str
    leaf: Leaf
    in_shape: Shape
    out_shape: Shape


def walk(node: Node, shape: Shape, path: str = "") -> Iterator[Layer]:
    """Yield the leaves of a tree in execution order, with their paths and shapes.

    Args:
        node: The tree.
        shape: Shape of its input.
        path: Path of the tree itself, which prefixes the names of its children.

    Raises:
        ValueError: If the channels of consecutive layers do not match.
    """
    yield from _walk(node, shape, path)


def _walk(node: Node, shape: Shape, path: str) -> Generator[Layer, None, Shape]:
    """Yield the leaves of a tree; return the shape of its output."""
    if isinstance(node, (Sum, Slices)):
        return (yield from _walk_branches(node, shape, path))
    if not isinstance(node, (Seq, Residual)):
        layer = Layer(path, node, shape, out_shape(node, shape))
        yield layer
        return layer.out_shape
    inner = shape
    for name, child in node.children:
        inner = yield from _walk(child, inner, f"{path}.{name}" if path else name)
    if isinstance(node, Residual) and inner != shape:
        raise ValueError(f"residual '{path}' adds shapes {shape} and {inner}, which must be equal")
    return inner


def _walk_branches(node: Sum | Slices, shape: Shape, path: str) -> Generator[Layer, None, Shape]:
    ends = []
    channels = 0
    for name, child in node.children:
        taken = shape
        if isinstance(node, Slices):
            taken = (input_channels(child), *shape[1:])
            channels += taken[0]
        ends.append((yield from _walk(child, taken, f"{path}.{name}" if path else name)))
    alike = {end if isinstance(node, Sum) else end[1:] for end in ends}
    if len(alike) != 1:
        raise ValueError(f"the branches of '{path}' have outputs of different shapes: {alike}")
    if isinstance(node, Sum):
        return ends[0]
    if channels != shape[0]:
        raise ValueError(f"'{path}' expects {channels} channels, but its input has {shape[0]}")
    return (sum(end[0] for end in ends), *ends[0][1:])


def residual_ends(node: Node, path: str = "") -> set[str]:
    """Return the path of the last batch normalization of every residual branch."""
    if not isinstance(node, Container):
        return set()
    ends: set[str] = set()
    for name, child in node.children:
        ends |= residual_ends(child, f"{path}.{name}" if path else name)
    norms = list(_norms(node, path)) if isinstance(node, Residual) else []
    return ends | set(norms[-1:])


def _norms(node: Node, path: str) -> Iterator[str]:
    if isinstance(node, BatchNorm):
        yield path
    elif isinstance(node, Container):
        for name, child in node.children:
            yield from _norms(child, f"{path}.{name}" if path else name)


def nested(tree: Node) -> Node:
    """Return the tree with every child named ``a.b`` moved into a child ``a``.

    The names of torch modules must not contain dots.
    """
    return type(tree)(_nested(list(tree.children))) if isinstance(tree, Container) else tree


def _nested(children: list[tuple[str, Node]]) -> tuple[tuple[str, Node], ...]:
    result: list[tuple[str, Node]] = []
    inner: dict[str, list[tuple[str, Node]]] = {}
    for name, child in children:
        head, dot, rest = name.partition(".")
        if not dot:
            result.append((name, child))
            continue
        if head not in inner:
            inner[head] = []
            result.append((head, child))  # holds the position; replaced below
        inner[head].append((rest, child))
    return tuple((n, Seq(_nested(inner[n])) if n in inner else child) for n, child in result)
