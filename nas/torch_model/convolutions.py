"""Convolutions as torch modules, with their padding rules."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.ir import Conv, Pads, same_pads


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


def conv_module(node: Conv) -> nn.Conv2d:
    """Return a convolution with random weights."""
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
