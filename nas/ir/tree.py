"""Walking layer trees."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import NamedTuple

from nas.ir.nodes import (
    BatchNorm,
    Branches,
    Cascade,
    Container,
    Leaf,
    Node,
    Residual,
    Seq,
    Shape,
    Slices,
    Sum,
)
from nas.ir.shapes import branch_inputs, joined, out_shape


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


def child_path(path: str, name: str) -> str:
    """Return the path of a child, given that of its parent; the path of a whole tree is empty."""
    return f"{path}.{name}" if path else name


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
    if isinstance(node, Branches):
        return (yield from _walk_branches(node, shape, path))
    if not isinstance(node, (Seq, Residual)):
        layer = Layer(path, node, shape, out_shape(node, shape))
        yield layer
        return layer.out_shape
    inner = shape
    for name, child in node.children:
        inner = yield from _walk(child, inner, child_path(path, name))
    if isinstance(node, Residual) and inner != shape:
        raise ValueError(f"residual '{path}' adds shapes {shape} and {inner}, which must be equal")
    return inner


def _walk_branches(node: Branches, shape: Shape, path: str) -> Generator[Layer, None, Shape]:
    inputs = branch_inputs(node, shape)
    if isinstance(node, (Slices, Cascade)):
        channels = sum(taken[0] for taken in inputs)
        if channels != shape[0]:
            raise ValueError(f"'{path}' expects {channels} channels, but its input has {shape[0]}")
    ends = []
    for (name, child), taken in zip(node.children, inputs, strict=True):
        ends.append((yield from _walk(child, taken, child_path(path, name))))
    return joined(node, inputs, ends, path)


def residual_ends(node: Node, path: str = "") -> set[str]:
    """Return the path of the last batch normalization of every residual branch."""
    if not isinstance(node, Container):
        return set()
    ends: set[str] = set()
    branch: Node | None = node if isinstance(node, Residual) else None
    branch_path = path
    for name, child in node.children:
        inner = child_path(path, name)
        ends |= residual_ends(child, inner)
        if isinstance(node, Sum) and node.branch == name:
            branch, branch_path = child, inner
    norms = list(_norms(branch, branch_path)) if branch is not None else []
    return ends | set(norms[-1:])


def _norms(node: Node, path: str) -> Iterator[str]:
    if isinstance(node, BatchNorm):
        yield path
    elif isinstance(node, Container):
        for name, child in node.children:
            yield from _norms(child, child_path(path, name))


def nested(tree: Node) -> Node:
    """Return the tree with every child named ``a.b`` moved into a child ``a``.

    The names of torch modules must not contain dots.
    """
    if not isinstance(tree, Container):
        return tree
    return replace(tree, children=_nested(list(tree.children)))


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
