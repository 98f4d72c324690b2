"""The classes of layers in Python files: those of torch by name, others as text."""

ACTIVATIONS = {
    "relu": "ReLU",
    "relu6": "ReLU6",
    "swish": "SiLU",
    "hard_swish": "Hardswish",
    "mish": "Mish",
    "gelu": "GELU",
    "identity": "Identity",
}
"""Class of ``torch.nn`` for each activation function."""

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
    "SqueezeExcite": '''
class SqueezeExcite(nn.Module):
    """A gate on every channel, computed from the means of all channels (Hu et al. 2018)."""

    def __init__(self, channels: int, reduced: int, act: nn.Module) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, reduced, 1)
        self.act = act
        self.expand = nn.Conv2d(reduced, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.expand(self.act(self.reduce(means))))
''',
}
"""Source of each class by its name; a class follows its base."""

BASES = {"Residual": "Sequence", "Sum": "Sequence", "Slices": "Sequence"}
"""Base of each class that has one among them."""
