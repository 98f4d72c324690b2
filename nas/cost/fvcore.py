"""fvcore's count of a network, the independent one that ours must equal."""

from __future__ import annotations

import torch
from fvcore.nn import FlopCountAnalysis
from torch import nn

from nas.ir import Shape
from nas.spec import NetworkSpec
from nas.torch_model import build

COUNTED = ("conv", "linear", "addmm", "matmul")  # fvcore counts BN and pooling as well


def fvcore_madds(spec: NetworkSpec) -> int:
    """Return the multiply-adds of convolution and linear layers that fvcore counts by tracing."""
    return module_madds(build(spec, seed=0), spec.in_shape)


def module_madds(module: nn.Module, shape: Shape) -> int:
    """Return the same of any module, for one image of `shape`; the module is left evaluating."""
    analysis = FlopCountAnalysis(module.eval(), torch.zeros(1, *shape))
    analysis.unsupported_ops_warnings(False)
    analysis.uncalled_modules_warnings(False)
    return int(sum(n for op, n in analysis.by_operator().items() if op in COUNTED))
