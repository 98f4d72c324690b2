"""Convolutions as equal ones with square kernels that pad all sides alike.

Formats that know no other convolutions can have every one of ours: kernels grow by zeros.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from nas.ir import Conv, Pads, Shape, conv_pads, out_shape


class SquareWindow(NamedTuple):
    """A square kernel without dilation that holds another kernel.

    Attributes:
        size: Rows and columns of the kernel.
        padding: Pixels of padding on each side.
        top: Row where the other kernel begins.
        left: Column where it begins.
    """

    size: int
    padding: int
    top: int
    left: int

    def kernel(self, conv: Conv, kernel: np.ndarray) -> np.ndarray:
        """Return the kernel of a convolution, (out, in / groups, rows, columns), among zeros."""
        rows, columns = (
            slice(begin, begin + span, conv.dilation)
            for begin, span in zip((self.top, self.left), conv.spans, strict=True)
        )
        found = np.zeros((*kernel.shape[:2], self.size, self.size), dtype=kernel.dtype)
        found[:, :, rows, columns] = kernel
        return found


def square_window(conv: Conv, shape: Shape) -> SquareWindow:
    """Return the smallest square kernel that stands for that of a convolution.

    Args:
        conv: The convolution.
        shape: Shape of its input.

    Raises:
        ValueError: If none does, since the padding changes the map's height more than its width.
    """
    pads = conv_pads(conv, shape)
    top, left = pads[:2]
    ends = out_shape(conv, shape)[1:]
    sizes = list(zip(shape[1:], ends, strict=True))
    fits, first = [], max(top, left)
    for padding in range(first, first + max(pads) + max(conv.spans) + conv.stride):
        begins = (padding - top, padding - left)
        reach = max(begin + extent for begin, extent in zip(begins, conv.spans, strict=True))
        # The output has ``end`` pixels for sizes above ``most - stride`` and up to ``most``.
        most = [n + 2 * padding - (end - 1) * conv.stride for n, end in sizes]
        size = max(reach, max(most) - conv.stride + 1)
        if size <= min(most):
            fits.append(SquareWindow(size, padding, *begins))
    if not fits:
        raise ValueError(
            f"no square kernel with equal padding has outputs of {ends[0]} x {ends[1]}"
        )
    return min(fits)


def tap_on_pixel(conv: Conv, kernel: np.ndarray, shape: Shape) -> np.ndarray:
    """Return the only tap of a kernel that meets a map of one pixel, as a 1x1 kernel.

    Args:
        conv: The convolution, from a map of one pixel to one.
        kernel: Its kernel, (out, in / groups, rows, columns).
        shape: Shape of its input, (channels, 1, 1).
    """
    window = square_window(conv, shape)
    squared = window.kernel(conv, kernel)
    return squared[:, :, window.padding, window.padding][:, :, None, None]


def with_padding(conv: Conv, pads: Pads, shape: Shape) -> Conv:
    """Return a convolution that pads by itself what was padded before it.

    Args:
        conv: The convolution.
        pads: The padding before it.
        shape: Shape of what is padded.
    """
    top, left, bottom, right = pads
    padded = (shape[0], shape[1] + top + bottom, shape[2] + left + right)
    own = conv_pads(conv, padded)
    sums = (own[0] + top, own[1] + left, own[2] + bottom, own[3] + right)
    return dataclasses.replace(conv, padding=sums)
