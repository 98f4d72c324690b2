"""The layer tree as torch modules.

Parameter names follow the tree: ``stages.2.0.depthwise.conv.1.weight`` is the second kernel group
of the first block of stage 2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.ir import (
    Activation,
    BatchNorm,
    Conv,
    GlobalPool,
    Linear,
    MixConv,
    Node,
    Pad,
    Residual,
    Seq,
    SqueezeExcite,
    nested,
)

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: nn.ReLU(inplace=True),
    "relu6": lambda: nn.ReLU6(inplace=True),
    "swish": lambda: nn.SiLU(inplace=True),
    "hard_swish": lambda: nn.Hardswish(inplace=True),
    "mish": lambda: nn.Mish(inplace=True),
    "gelu": nn.GELU,
    "identity": nn.Identity,
}


class SymmetricConv2d(nn.Conv2d):
    """A convolution with (kernel - 1) / 2 pixels of padding on every side.

    In training, the outer part of a kernel that is larger than the image is left out: it only ever
    meets padding. Outputs and gradients stay what they are, and small images train faster.
    """

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        outside = self.kernel_size[0] // 2 - max(x.shape[-2:]) + 1
        if not self.training or outside <= 0 or self.dilation[0] > 1:
            return super().forward(x)
        inner = self.weight[..., outside:-outside, outside:-outside]
        padding = self.kernel_size[0] // 2 - outside
        return F.conv2d(x, inner, self.bias, self.stride, padding, 1, self.groups)


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's 'same' padding: the odd pixel goes to the bottom and right.

    Input (N, C, H, W), output (N, C', ceil(H / stride), ceil(W / stride)).
    """

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        (kernel, _), (stride, _), (dilation, _) = self.kernel_size, self.stride, self.dilation
        pads: list[int] = []
        for size in (x.shape[-1], x.shape[-2]):
            total = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
            pads += [total // 2, total - total // 2]
        padded = F.pad(x, pads)
        return F.conv2d(padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


class MixConv2d(nn.ModuleList):
    """Convolutions on slices of the channels, concatenated: (N, C, H, W) -> (N, C', H', W')."""

    def __init__(self, convs: list[nn.Conv2d]) -> None:
        super().__init__(convs)
        self.sizes = [conv.in_channels for conv in convs]

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        slices = torch.split(x, self.sizes, dim=1)
        return torch.cat([conv(s) for conv, s in zip(self, slices, strict=True)], dim=1)


class SqueezeExcite2d(nn.Module):
    """x * sigmoid(expand(act(reduce(mean(x))))): (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, node: SqueezeExcite) -> None:
        super().__init__()
        self.reduce = _conv(node.reduce)
        self.act = _ACTIVATIONS[node.activation]()
        self.expand = _conv(node.expand)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        pooled = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.expand(self.act(self.reduce(pooled))))


class Sequential(nn.Sequential):
    """Named children in a row. It is torch's own class, with a constructor from pairs."""

    def __init__(self, children: list[tuple[str, nn.Module]]) -> None:
        super().__init__()
        for name, child in children:
            self.add_module(name, child)


class ResidualSequential(Sequential):
    """Named children in a row, plus their input; in training a whole branch may be dropped.

    Stochastic depth (Huang et al. 2016): with probability `drop_path` a sample skips the branch.
    """

    def __init__(self, children: list[tuple[str, nn.Module]], drop_path: float = 0.0) -> None:
        super().__init__(children)
        self.drop_path = drop_path

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        branch: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        if self.training and self.drop_path > 0:
            keep = 1 - self.drop_path
            mask = torch.rand(len(x), 1, 1, 1, device=x.device, dtype=x.dtype) < keep
            branch = branch * mask / keep
        return x + branch


class Classifier(nn.Linear):
    """Flatten, dropout, linear: (N, C, 1, 1) -> (N, classes) logits."""

    def __init__(self, in_features: int, out_features: int, dropout: float) -> None:
        super().__init__(in_features, out_features)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return super().forward(F.dropout(x.flatten(1), self.dropout, self.training))


def _conv(node: Conv) -> nn.Conv2d:
    # At stride 1 both padding rules are the same for odd kernels.
    around = (node.kernel - 1) // 2 * node.dilation
    kind: type[nn.Conv2d] = SymmetricConv2d
    padding: int | tuple[int, int] = around
    if node.padding == "rows":
        kind, padding = nn.Conv2d, (around, 0)
    elif node.padding == "same" and node.stride > 1:
        kind, padding = SameConv2d, 0
    return kind(
        node.in_channels,
        node.out_channels,
        node.kernel,
        node.stride,
        padding=padding,
        dilation=node.dilation,
        groups=node.groups,
        bias=node.bias,
    )


def to_module(node: Node, dropout: float = 0.0, drop_path: float = 0.0) -> nn.Module:
    """Return a layer tree as a torch module.

    Args:
        node: the tree.
        dropout: probability of zeroing a feature before a linear layer, in training.
        drop_path: probability of dropping a residual branch, in training.
    """
    match node:
        case Seq() | Residual():
            children = [(n, to_module(c, dropout, drop_path)) for n, c in node.children]
            if isinstance(node, Seq):
                return Sequential(children)
            return ResidualSequential(children, drop_path)
        case Conv():
            return _conv(node)
        case MixConv():
            return MixConv2d([_conv(conv) for conv in node.convs])
        case BatchNorm():
            return nn.BatchNorm2d(node.channels, node.eps, node.momentum)
        case Activation():
            return _ACTIVATIONS[node.function]()
        case SqueezeExcite():
            return SqueezeExcite2d(node)
        case Pad():
            return nn.ZeroPad2d((node.columns, node.columns, 0, 0))
        case GlobalPool():
            return nn.AdaptiveAvgPool2d(1)
        case Linear():
            return Classifier(node.in_features, node.out_features, dropout)


def to_loaded_module(tree: Node, weights: Mapping[str, np.ndarray]) -> nn.Module:
    """Return a layer tree as a torch module with weights, in evaluation mode.

    Args:
        tree: the network; names may hold dots.
        weights: by name, as `weights_of` gives them; BN's counters of batches may be left out.

    Raises:
        KeyError: when other weights are missing, or some have no place.
    """
    module = to_module(nested(tree))
    state = {name: torch.from_numpy(array.copy()) for name, array in weights.items()}
    missing, left_over = module.load_state_dict(state, strict=False)
    wrong = [name for name in missing if not name.endswith("num_batches_tracked")] + left_over
    if wrong:
        raise KeyError(f"weights missing or without a place: {', '.join(wrong)}")
    return module.eval()


def weights_of(module: nn.Module) -> dict[str, np.ndarray]:
    """Return a module's parameters and buffers by name, as arrays."""
    return {name: tensor.detach().cpu().numpy() for name, tensor in module.state_dict().items()}
