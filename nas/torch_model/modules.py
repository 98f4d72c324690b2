"""Layer trees as torch modules.

Parameter names follow the tree: ``stages.2.0.depthwise.conv.1.weight`` is the second kernel group
of the first block of stage 2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import nn

from nas.ir import (
    Activation,
    BatchNorm,
    Cascade,
    Concat,
    Container,
    Conv,
    MixConv,
    Node,
    Residual,
    Seq,
    Slices,
    Sum,
    nested,
    slice_sizes,
)
from nas.torch_model.containers import (
    BranchConcat,
    BranchSum,
    CascadedBranches,
    Children,
    ResidualSequential,
    Sequential,
    SlicedBranches,
)
from nas.torch_model.layers import in_place, leaf_module

LeafMaker = Callable[[Node, float], nn.Module]
"""Makes the module of a leaf of a layer tree; takes the leaf, and dropout as for `leaf_module`."""


def to_module(
    node: Node,
    dropout: float = 0.0,
    drop_path: float = 0.0,
    make_leaf: LeafMaker | None = None,
) -> nn.Module:
    """Return a layer tree as a torch module with random weights.

    Args:
        node: Layer tree.
        dropout: Probability of zeroing a feature before a linear layer, in training.
        drop_path: Probability of dropping a residual branch, in training.
        make_leaf: Makes the modules of its leaves; None for `leaf_module`.
    """
    if not isinstance(node, Container):
        return (make_leaf or leaf_module)(node, dropout)
    children: Children = []
    before: Node | None = None
    for name, child in node.children:
        module = to_module(child, dropout, drop_path, make_leaf)
        if isinstance(child, Activation):
            # Nothing else reads what these layers return, and no gradient needs it.
            fresh = isinstance(before, (Conv, MixConv, BatchNorm))
            in_place(module, fresh and isinstance(node, (Seq, Residual)))
        children.append((name, module))
        before = child
    match node:
        case Seq():
            return Sequential(children)
        case Residual():
            return ResidualSequential(children, drop_path)
        case Sum():
            return BranchSum(children, node.branch, drop_path)
        case Concat():
            return BranchConcat(children)
        case Slices():
            return SlicedBranches(children, slice_sizes(node))
        case Cascade():
            return CascadedBranches(children, slice_sizes(node))


def to_loaded_module(tree: Node, weights: Mapping[str, np.ndarray]) -> nn.Module:
    """Return a layer tree as a torch module with given weights, in evaluation mode.

    Args:
        tree: Layer tree; its names may contain dots.
        weights: Parameters and buffers by name, as `weights_of` returns them. Only batch
            normalization's ``num_batches_tracked`` may be left out.

    Raises:
        KeyError: If weights are missing, or the tree has no place for some.
    """
    module = to_module(nested(tree))
    state = {name: torch.from_numpy(array.copy()) for name, array in weights.items()}
    missing, unexpected = module.load_state_dict(state, strict=False)
    wrong = [name for name in missing if not name.endswith("num_batches_tracked")] + unexpected
    if wrong:
        raise KeyError(f"missing or unexpected weights: {', '.join(wrong)}")
    return module.eval()


def weights_of(module: nn.Module) -> dict[str, np.ndarray]:
    """Return a module's parameters and buffers by name, as arrays."""
    return {name: tensor.detach().cpu().numpy() for name, tensor in module.state_dict().items()}
