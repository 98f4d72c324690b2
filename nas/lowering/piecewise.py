"""The pieces of a network that are lowered independently of each other."""

from __future__ import annotations

from collections.abc import Iterator

from nas.ir import BatchNorm, Dropout, Node, Residual, Scale, Seq
from nas.lowering.branches import PARTS, SumOfBranches, has_branches
from nas.lowering.forms import FormChoice

Piece = tuple[Node, ...]
"""Nodes that run one after another."""


def pieces(tree: Seq | Residual, choose: FormChoice) -> Iterator[Piece]:
    """Yield the pieces of a tree; lowered one by one, they are what the tree becomes.

    A layer that is folded into the one before it is in the same piece, and so are the parts of a
    block that becomes a sum of branches.

    Args:
        tree: The tree as trained.
        choose: Rule that chooses the form of every layer.
    """
    left = list(tree.children)
    while left:
        size = PARTS if isinstance(choose, SumOfBranches) and has_branches(left[:PARTS]) else 1
        while size < len(left) and _may_be_folded(left[size][1]):
            size += 1
        yield tuple(node for _, node in left[:size])
        del left[:size]


def _may_be_folded(node: Node) -> bool:
    """Return whether a tree begins with a layer that may be folded into what precedes it."""
    if isinstance(node, Seq):
        return not node.children or _may_be_folded(node.children[0][1])
    return isinstance(node, (BatchNorm, Scale, Dropout))
