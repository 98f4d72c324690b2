"""fvcore's count of multiply-adds, an independent check of `nas.cost.count`."""

from __future__ import annotations

import torch
from fvcore.nn import FlopCountAnalysis
from torch import nn

from nas.ir import Shape
from nas.spec import NetworkSpec
from nas.torch_model import build

COUNTED = ("conv", "linear", "addmm", "matmul")  # fvcore also counts BN and pooling


def fvcore_madds(spec: NetworkSpec) -> int:
    """Return the network's multiply-adds as fvcore counts them by tracing; see `module_madds`."""
    return module_madds(build(spec, seed=0), spec.in_shape)


def module_madds(module: nn.Module, shape: Shape) -> int:
    """Return the multiply-adds of a module's convolution and linear layers for one image.

    Args:
        module: The module, which is put into evaluation mode.
        shape: Shape of the image: channels, height and width.
    """
    analysis = FlopCountAnalysis(module.eval(), torch.zeros(1, *shape))
    analysis.unsupported_ops_warnings(False)
    analysis.uncalled_modules_warnings(False)
    return int(sum(madds for op, madds in analysis.by_operator().items() if op in COUNTED))
