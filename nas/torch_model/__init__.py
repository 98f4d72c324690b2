"""Layer trees as torch modules, and weights from files and from timm."""

from nas.torch_model.containers import ResidualSequential
from nas.torch_model.convolutions import SameConv2d, SymmetricConv2d
from nas.torch_model.lowered import lower_module
from nas.torch_model.modules import to_loaded_module, to_module, weights_of
from nas.torch_model.network import Network, build, is_of_classifier, zero_residuals
from nas.torch_model.programs import with_slices
from nas.torch_model.timm_weights import load_timm_state_dict, timm_state_dict
from nas.torch_model.weight_files import (
    TrainedWeights,
    load_weights,
    read_metadata,
    read_trained,
    read_weights,
)

__all__ = [
    "Network",
    "ResidualSequential",
    "SameConv2d",
    "SymmetricConv2d",
    "TrainedWeights",
    "build",
    "is_of_classifier",
    "load_timm_state_dict",
    "load_weights",
    "lower_module",
    "read_metadata",
    "read_trained",
    "read_weights",
    "timm_state_dict",
    "to_loaded_module",
    "to_module",
    "weights_of",
    "with_slices",
    "zero_residuals",
]
