"""Lowering: from the network that was trained to an equal one that runs faster."""

from nas.lowering.rewrite import (
    BLOCK,
    MERGE_ALL,
    Choice,
    Form,
    MergeAll,
    can_be_padded,
    candidates,
    is_pointwise,
    lower,
    lower_module,
    lowered_tree,
    usual_form,
)

__all__ = [
    "BLOCK",
    "MERGE_ALL",
    "Choice",
    "Form",
    "MergeAll",
    "can_be_padded",
    "candidates",
    "is_pointwise",
    "lower",
    "lower_module",
    "lowered_tree",
    "usual_form",
]
