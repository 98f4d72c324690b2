"""Lowering: rewriting a trained network as an equivalent one that runs faster.

- `forms`: the forms in which a layer can be written, and the rules that choose one.
- `folding`: the layers that are folded into the convolution before them.
- `branches`: inverted bottlenecks as sums of one branch per kernel size.
- `phases`: convolutions with large kernels as sums of convolutions with small ones.
- `rewrite`: rewriting a layer tree and its weights in the chosen forms.
- `piecewise`: the pieces of a network that are lowered independently of each other.

Everything here works on layer trees and arrays; `nas.torch_model.lower_module` lowers a torch
module.
"""

from nas.lowering.branches import SumOfBranches
from nas.lowering.forms import (
    AS_TRAINED,
    BLOCK,
    MERGE_ALL,
    MOST_TAPS,
    PHASED,
    PHASED_SLICES,
    Form,
    FormChoice,
    MergeAll,
    Preference,
    can_be_padded,
    candidates,
    default_form,
    group_width,
    is_pointwise,
    trained_form,
)
from nas.lowering.piecewise import Piece, pieces
from nas.lowering.rewrite import lower, lowered_tree

__all__ = [
    "AS_TRAINED",
    "BLOCK",
    "MERGE_ALL",
    "MOST_TAPS",
    "PHASED",
    "PHASED_SLICES",
    "Form",
    "FormChoice",
    "MergeAll",
    "Piece",
    "Preference",
    "SumOfBranches",
    "can_be_padded",
    "candidates",
    "default_form",
    "group_width",
    "is_pointwise",
    "lower",
    "lowered_tree",
    "pieces",
    "trained_form",
]
