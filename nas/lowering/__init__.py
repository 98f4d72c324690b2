"""Lowering: from the network that was trained to an equal one that runs faster.

- `forms`: how a layer can be written, and who chooses.
- `rewrite`: the tree and its weights in the forms that were chosen.

Everything works on layer trees and arrays; `nas.torch_model.lower_module` lowers a torch module.
"""

from nas.lowering.forms import (
    BLOCK,
    MERGE_ALL,
    Form,
    FormChoice,
    MergeAll,
    can_be_padded,
    candidates,
    is_pointwise,
    usual_form,
)
from nas.lowering.rewrite import lower, lowered_tree

__all__ = [
    "BLOCK",
    "MERGE_ALL",
    "Form",
    "FormChoice",
    "MergeAll",
    "can_be_padded",
    "candidates",
    "is_pointwise",
    "lower",
    "lowered_tree",
    "usual_form",
]
