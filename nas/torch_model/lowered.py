"""Trained torch modules in deployed form."""

from __future__ import annotations

from torch import nn

from nas.lowering import MERGE_ALL, FormChoice, lower
from nas.torch_model.modules import to_loaded_module, weights_of
from nas.torch_model.network import Network


def lower_module(model: Network, choose: FormChoice = MERGE_ALL) -> nn.Module:
    """Lower a trained torch module.

    Args:
        model: Network with its weights; not changed.
        choose: Chooses the form of each mixed convolution.

    Returns:
        A module in evaluation mode that computes the same function at the spec's resolution:
        images (N, C, H, W) -> logits (N, classes).
    """
    spec = model.spec
    tree, weights = lower(spec.tree(), spec.in_shape, weights_of(model), choose)
    return to_loaded_module(tree, weights)
