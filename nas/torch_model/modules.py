"""Layer trees as torch modules.

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
    Container,
    Conv,
    GlobalPool,
    Linear,
    MixConv,
    Node,
    Pad,
    Pads,
    Residual,
    Seq,
    Slices,
    SqueezeExcite,
    Sum,
    input_channels,
    nested,
    same_pads,
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
    """A convolution with (kernel - 1) / 2 pixels of padding on each side.

    In training, the outer taps of a kernel that is larger than the image are left out, since they
    only meet padding. Outputs and gradients stay the same, and small images train faster.
    """

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        unused = self.kernel_size[0] // 2 - max(x.shape[-2:]) + 1  # outer taps on each side
        if not self.training or unused <= 0 or self.dilation[0] > 1:
            return super().forward(x)
        inner = self.weight[..., unused:-unused, unused:-unused]
        padding = self.kernel_size[0] // 2 - unused
        return F.conv2d(x, inner, self.bias, self.stride, padding, 1, self.groups)


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's 'same' padding.

    If the padding is odd, the extra pixel is at the bottom and the right. Input (N, C, H, W),
    output (N, C', ceil(H / stride), ceil(W / stride)).
    """

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        extent = (self.kernel_size[0] - 1) * self.dilation[0] + 1
        columns = same_pads(x.shape[-1], extent, self.stride[0])
        rows = same_pads(x.shape[-2], extent, self.stride[0])
        padded = F.pad(x, (*columns, *rows))
        return F.conv2d(padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


class PaddedConv2d(nn.Conv2d):
    """A convolution with padding of its own on each side: top, left, bottom, right."""

    pads: Pads = (0, 0, 0, 0)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        top, left, bottom, right = self.pads
        return super().forward(F.pad(x, (left, right, top, bottom)))


class MixConv2d(nn.ModuleList):
    """Convolutions of groups of channels, concatenated: (N, C, H, W) -> (N, C', H', W').

    One convolution of MixConv (Tan and Le 2019), with a kernel size for each group.
    """

    def __init__(self, convs: list[nn.Conv2d]) -> None:
        super().__init__(convs)
        self.sizes = [conv.in_channels for conv in convs]

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        slices = torch.split(x, self.sizes, dim=1)
        return torch.cat([conv(s) for conv, s in zip(self, slices, strict=True)], dim=1)


class SqueezeExcite2d(nn.Module):
    """Squeeze-and-excitation (Hu et al. 2018): (N, C, H, W) -> (N, C, H, W).

    It computes x * sigmoid(expand(act(reduce(mean(x))))).
    """

    def __init__(self, node: SqueezeExcite) -> None:
        super().__init__()
        self.reduce = _conv(node.reduce)
        self.act = _ACTIVATIONS[node.activation]()
        self.expand = _conv(node.expand)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        pooled = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.expand(self.act(self.reduce(pooled))))


class Sequential(nn.Sequential):
    """Named children applied in order: torch's class with a constructor from pairs."""

    def __init__(self, children: list[tuple[str, nn.Module]]) -> None:
        super().__init__()
        for name, child in children:
            self.add_module(name, child)


class ResidualSequential(Sequential):
    """Named children applied in order, whose output is added to their input.

    In training, each sample skips the branch with probability `drop_path` (stochastic depth, Huang
    et al. 2016); the branch is scaled to keep its expectation.
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


class BranchSum(nn.ModuleDict):
    """Named children on the same input, with their outputs added."""

    def __init__(self, children: list[tuple[str, nn.Module]]) -> None:
        super().__init__(dict(children))

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        first, *others = self.values()
        total: Tensor = first(x)
        for branch in others:
            total = total + branch(x)
        return total


class SlicedBranches(nn.ModuleDict):
    """Named children on adjacent slices of the channels, with their outputs concatenated."""

    def __init__(self, children: list[tuple[str, nn.Module]], sizes: list[int]) -> None:
        super().__init__(dict(children))
        self.sizes = sizes

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        slices = torch.split(x, self.sizes, dim=1)
        return torch.cat([b(part) for b, part in zip(self.values(), slices, strict=True)], 1)


class Classifier(nn.Linear):
    """Flattening, dropout and a linear layer: (N, C, 1, 1) -> logits (N, classes)."""

    def __init__(self, in_features: int, out_features: int, dropout: float) -> None:
        super().__init__(in_features, out_features)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return super().forward(F.dropout(x.flatten(1), self.dropout, self.training))


def _conv(node: Conv) -> nn.Conv2d:
    # At stride 1, both padding rules are the same because kernels are odd.
    kind: type[nn.Conv2d] = SymmetricConv2d
    padding: int | tuple[int, int] = node.margin
    if not isinstance(node.padding, str):
        return _padded_conv(node, node.padding)
    if node.padding == "same" and node.stride > 1:
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


def _padded_conv(node: Conv, pads: Pads) -> nn.Conv2d:
    even = pads[:2] == pads[2:]
    conv = (nn.Conv2d if even else PaddedConv2d)(
        node.in_channels,
        node.out_channels,
        node.window,
        node.stride,
        padding=pads[:2] if even else 0,
        dilation=node.dilation,
        groups=node.groups,
        bias=node.bias,
    )
    if isinstance(conv, PaddedConv2d):
        conv.pads = pads
    return conv


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
    if isinstance(node, Container):
        children = [(n, to_module(c, dropout, drop_path, make_leaf)) for n, c in node.children]
        match node:
            case Seq():
                return Sequential(children)
            case Residual():
                return ResidualSequential(children, drop_path)
            case Sum():
                return BranchSum(children)
            case Slices():
                return SlicedBranches(children, [input_channels(c) for _, c in node.children])
    return (make_leaf or leaf_module)(node, dropout)


def leaf_module(node: Node, dropout: float = 0.0) -> nn.Module:
    """Return a leaf of a layer tree as a torch module with random weights.

    Args:
        node: The leaf.
        dropout: Probability of zeroing a feature before a linear layer, in training.
    """
    match node:
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
            top, left, bottom, right = node.pads
            return nn.ZeroPad2d((left, right, top, bottom))
        case GlobalPool():
            return nn.AdaptiveAvgPool2d(1)
        case Linear():
            return Classifier(node.in_features, node.out_features, dropout)
    raise TypeError(f"{type(node).__name__} is not a leaf of a layer tree")


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
