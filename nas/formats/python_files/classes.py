"""The classes of layers in Python files: those of torch by name, others as text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nas.ir import LEAKY_SLOPE

ACTIVATIONS = {
    "relu": "ReLU",
    "relu6": "ReLU6",
    "swish": "SiLU",
    "hard_swish": "Hardswish",
    "mish": "Mish",
    "gelu": "GELU",
    "leaky_relu": "LeakyReLU",
    "identity": "Identity",
}
"""Class of ``torch.nn`` for each activation function."""

ACTIVATION_OPTIONS: dict[str, dict[str, Any]] = {"leaky_relu": {"negative_slope": LEAKY_SLOPE}}
"""Options of these classes that differ from torch's defaults, by activation function."""

CLASSES = {
    "Sequence": '''
class Sequence(nn.Sequential):
    """Layers that run one after another, with names or numbers."""

    def __init__(self, *layers: nn.Module, **named: nn.Module) -> None:
        super().__init__(*layers)
        for name, layer in named.items():
            self.add_module(name, layer)
''',
    "Residual": '''
class Residual(Sequence):
    """Layers that run one after another, with the input added to their output."""

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)
''',
    "Sum": '''
class Sum(Sequence):
    """Layers that run on the same input, with their outputs added."""

    def forward(self, x: Tensor) -> Tensor:
        first, *others = self
        total = first(x)
        for layer in others:
            total = total + layer(x)
        return total
''',
    "Concat": '''
class Concat(Sequence):
    """Layers that run on the same input, with their outputs concatenated."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([layer(x) for layer in self], dim=1)
''',
    "Slices": '''
class Slices(Sequence):
    """Layers that run on adjacent slices of the channels, with their outputs concatenated."""

    def __init__(self, *layers: nn.Module, sizes: tuple[int, ...], **named: nn.Module) -> None:
        super().__init__(*layers, **named)
        self.sizes = sizes

    def forward(self, x: Tensor) -> Tensor:
        slices = torch.split(x, self.sizes, dim=1)
        return torch.cat([layer(part) for layer, part in zip(self, slices)], dim=1)
''',
    "Cascade": '''
class Cascade(Slices):
    """Slices of which each but the first adds the output before it (Gao et al. 2019)."""

    def forward(self, x: Tensor) -> Tensor:
        found: list[Tensor] = []
        for layer, part in zip(self, torch.split(x, self.sizes, dim=1)):
            found.append(layer(part + found[-1] if found else part))
        return torch.cat(found, dim=1)
''',
    "MixConv": '''
class MixConv(nn.ModuleList):
    """Convolutions of adjacent slices of the channels, concatenated (Tan and Le 2019)."""

    def __init__(self, *convs: nn.Conv2d) -> None:
        super().__init__(convs)
        self.sizes = [conv.in_channels for conv in convs]

    def forward(self, x: Tensor) -> Tensor:
        slices = torch.split(x, self.sizes, dim=1)
        return torch.cat([conv(part) for conv, part in zip(self, slices)], dim=1)
''',
    "SameConv2d": '''
class SameConv2d(nn.Conv2d):
    """A convolution that pads as TensorFlow does: an odd pixel is at the bottom and the right."""

    def forward(self, x: Tensor) -> Tensor:
        height, width = (self.missing(x.shape[axis], axis - 2) for axis in (2, 3))
        x = F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))
        return super().forward(x)

    def missing(self, size: int, axis: int) -> int:
        """Return the pixels that an axis lacks for ceil(size / stride) outputs."""
        extent = (self.kernel_size[axis] - 1) * self.dilation[axis] + 1
        steps = -(-size // self.stride[axis]) - 1
        return max(steps * self.stride[axis] + extent - size, 0)
''',
    "PaddedConv2d": '''
class PaddedConv2d(nn.Conv2d):
    """A convolution with padding of its own on each side: left, right, top, bottom."""

    def __init__(self, *args, pads: tuple[int, int, int, int], **options) -> None:
        super().__init__(*args, **options)
        self.pads = pads

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, self.pads))
''',
    "PaddedPool2d": '''
class PaddedPool2d(nn.Module):
    """Pooling of padded images.

    The padding is the pixels on the left, right, top and bottom, or "same", as TensorFlow pads.
    With `ceil`, a last window counts even if it fits in only in part.
    """

    def __init__(
        self, kernel: int, stride: int, pads: tuple[int, int, int, int] | str, ceil: bool = False
    ) -> None:
        super().__init__()
        self.kernel, self.stride, self.pads, self.ceil = kernel, stride, pads, ceil

    def padded(self, x: Tensor, value: float, beyond: float) -> Tensor:
        """Return padded images, with another value where only partial windows reach."""
        left, right, further = self.margins(x.shape[3], 0)
        top, bottom, lower = self.margins(x.shape[2], 2)
        x = F.pad(x, (left, right, top, bottom), value=value)
        return F.pad(x, (0, further, 0, lower), value=beyond)

    def margins(self, size: int, first: int) -> tuple[int, int, int]:
        """Return the padding of an axis before and after the image, and the pixels beyond."""
        if self.pads == "same":
            missing = max((-(-size // self.stride) - 1) * self.stride + self.kernel - size, 0)
            return missing // 2, missing - missing // 2, 0
        before, after = self.pads[first : first + 2]
        beyond = -(before + size + after - self.kernel) % self.stride
        begin = before + size + after + beyond - self.kernel
        return before, after, beyond if self.ceil and begin < before + size else 0
''',
    "PaddedMaxPool2d": '''
class PaddedMaxPool2d(PaddedPool2d):
    """The maximum of every window; it is never that of the padding."""

    def forward(self, x: Tensor) -> Tensor:
        least = float("-inf")
        return F.max_pool2d(self.padded(x, least, least), self.kernel, self.stride)
''',
    "PaddedAvgPool2d": '''
class PaddedAvgPool2d(PaddedPool2d):
    """The mean of every window; pixels of the padding are zeros, or do not count."""

    def __init__(self, *args, count_padding: bool = False, **options) -> None:
        super().__init__(*args, **options)
        self.count_padding = count_padding

    def forward(self, x: Tensor) -> Tensor:
        counted = self.padded(torch.ones_like(x[:1, :1]), float(self.count_padding), 0.0)
        share = F.avg_pool2d(counted, self.kernel, self.stride)
        return F.avg_pool2d(self.padded(x, 0.0, 0.0), self.kernel, self.stride) / share
''',
    "LayerNorm2d": '''
class LayerNorm2d(nn.LayerNorm):
    """Layer normalization over the channels of every pixel."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
''',
    "Scale": '''
class Scale(nn.Module):
    """A learned factor for every channel (Touvron et al. 2021)."""

    def __init__(self, channels: int, initial: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), initial))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight[:, None, None]
''',
    "FlatLinear": '''
class FlatLinear(nn.Linear):
    """A linear layer on the flattened images, channel by channel."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(torch.flatten(x, 1))
''',
    "SqueezeExcite": '''
class SqueezeExcite(nn.Module):
    """A gate on every channel, computed from the means of all channels (Hu et al. 2018)."""

    def __init__(
        self,
        channels: int,
        reduced: int,
        act: nn.Module,
        gate: nn.Module | None = None,
        bias: bool = True,
        norm: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, reduced, 1, bias=bias)
        self.norm = nn.Identity() if norm is None else norm
        self.act = act
        self.expand = nn.Conv2d(reduced, channels, 1, bias=bias)
        self.gate = nn.Sigmoid() if gate is None else gate

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean((2, 3), keepdim=True)
        return x * self.gate(self.expand(self.act(self.norm(self.reduce(means)))))
''',
    "SplitAttention": '''
class SplitAttention(nn.Module):
    """Groups of channels, weighted by attention over them and added (Zhang et al. 2020)."""

    def __init__(self, channels: int, radix: int, norm: nn.BatchNorm2d, act: nn.Module) -> None:
        super().__init__()
        self.groups = (radix, channels)
        self.reduce = nn.Conv2d(channels, norm.num_features, 1)
        self.norm = norm
        self.act = act
        self.expand = nn.Conv2d(norm.num_features, radix * channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        groups = x.unflatten(1, self.groups)
        means = groups.sum(1).mean((2, 3), keepdim=True)
        scores = self.expand(self.act(self.norm(self.reduce(means)))).unflatten(1, self.groups)
        weights = torch.sigmoid(scores) if self.groups[0] == 1 else torch.softmax(scores, 1)
        return (groups * weights).sum(1)
''',
}
"""Source of each class by its name; a class follows its base."""

BASES = {
    "Residual": "Sequence",
    "Sum": "Sequence",
    "Concat": "Sequence",
    "Slices": "Sequence",
    "Cascade": "Slices",
    "PaddedMaxPool2d": "PaddedPool2d",
    "PaddedAvgPool2d": "PaddedPool2d",
}
"""Base of each class that has one among them."""


def sources(names: Iterable[str]) -> list[str]:
    """Return the sources of the named classes and their bases; other names have none."""
    needed = set(names)
    for name in reversed(CLASSES):  # a class before its base
        if name in needed and name in BASES:
            needed.add(BASES[name])
    return [source for name, source in CLASSES.items() if name in needed]
