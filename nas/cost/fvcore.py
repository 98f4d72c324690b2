"""fvcore's count of multiply-adds.

It is an independent check of `nas.cost.count`, and the only count of networks without a spec.
"""

from __future__ import annotations

import torch
from fvcore.nn import FlopCountAnalysis
from torch import nn

from nas.ir import Shape
from nas.named import TimmNetwork
from nas.spec import NetworkSpec
from nas.torch_model import build

# fvcore also counts BN and pooling, and products of two activations, as of queries and keys. The
# latter are no layers; and it misses them where torch computes an attention in one operator.
COUNTED = ("conv", "linear", "addmm")


def timm_costs(network: TimmNetwork) -> dict[str, int]:
    """Return the parameters and multiply-adds of one of timm's networks; see `module_costs`.

    Raises:
        MixnasError: If timm cannot build the network.
    """
    return module_costs(network.build(seed=0), network.in_shape)


def module_costs(module: nn.Module, shape: Shape) -> dict[str, int]:
    """Return a module's number of parameters, and its multiply-adds for one image.

    Args:
        module: The module, which is put into evaluation mode.
        shape: Shape of the image: channels, height and width.
    """
    params = sum(weights.numel() for weights in module.parameters())
    return {"params": params, "madds": module_madds(module, shape)}


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
    analysis.tracer_warnings("none")  # of sizes that networks look at in Python
    return int(sum(madds for op, madds in analysis.by_operator().items() if op in COUNTED))
