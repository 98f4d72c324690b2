"""The layers whose forms are measured on a device: a sample of those of typical networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nas.ir import Conv, MixConv, Shape, SqueezeExcite

SampledLayer = tuple[MixConv | SqueezeExcite, Shape]
"""A layer with the (C, H, W) shape of its input."""

# Channels by height of the feature map and stride, as in networks for 224-pixel images.
_CHANNELS = {
    (112, 1): 32,
    (112, 2): 64,
    (56, 1): 144,
    (56, 2): 144,
    (28, 1): 240,
    (28, 2): 240,
    (14, 1): 480,
    (14, 2): 480,
    (7, 1): 960,
}
_LADDERS: tuple[tuple[int, ...], ...] = ((3, 5), (3, 5, 7), (3, 5, 7, 9), (3, 5, 7, 9, 11))
_EXPONENTIAL = (0.5, 0.25, 0.125, 0.125)  # shares of the channels; see `nas.blocks`
_GROUP_WIDTHS = (8, 16)
# (input channels, output channels, height); some slices fill whole blocks of 16 channels.
_POINTWISE = (
    (32, 96, 56),
    (96, 32, 56),
    (24, 144, 56),
    (144, 24, 56),
    (64, 384, 14),
    (384, 64, 14),
    (80, 480, 14),
    (360, 120, 14),
    (192, 1152, 7),
    (1200, 200, 7),
)


def sampled_layers() -> Iterator[SampledLayer]:
    """Yield the layers to measure."""
    yield from _mixed()
    yield from _single()
    yield from _grouped()
    for inputs, outputs, size in _POINTWISE:
        yield MixConv((Conv(inputs // 2, outputs // 2),) * 2), (inputs, size, size)
    for size in (28, 14, 7):
        channels = _CHANNELS[size, 1]
        reduce = Conv(channels, channels // 12, bias=True)
        expand = Conv(channels // 12, channels, bias=True)
        yield SqueezeExcite(reduce, expand, "relu"), (channels, size, size)


def _mixed() -> Iterator[SampledLayer]:
    for (size, stride), channels in _CHANNELS.items():
        shape = (channels, size, size)
        for kernels in _LADDERS:
            yield _mix(_even_widths(channels, len(kernels)), kernels, stride), shape
        if stride == 1 and size in (56, 28, 14):
            widths = [round(channels * share) for share in _EXPONENTIAL]
            yield _mix(widths, _LADDERS[2], stride), shape


def _single() -> Iterator[SampledLayer]:
    for (size, stride), channels in _CHANNELS.items():
        small = (3, 5) if stride == 1 and size < 56 else ()
        for kernel in (*small, 7, 9):
            yield _mix([channels], (kernel,), stride), (channels, size, size)


def _grouped() -> Iterator[SampledLayer]:
    for width in _GROUP_WIDTHS:
        for size in (28, 14):
            for kernels in ((3, 5), (3, 5, 7, 9)):
                widths = [64] * len(kernels)
                yield _mix(widths, kernels, 1, width), (sum(widths), size, size)


def _even_widths(channels: int, count: int) -> list[int]:
    """Return the channels of each of several kernels; the first gets what is left."""
    width = channels // count
    return [channels - width * (count - 1), *[width] * (count - 1)]


def _mix(widths: Sequence[int], kernels: tuple[int, ...], stride: int, group: int = 1) -> MixConv:
    pairs = zip(widths, kernels, strict=True)
    return MixConv(tuple(Conv(w, w, k, stride, groups=w // group) for w, k in pairs))
