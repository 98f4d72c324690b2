"""Convolutions with large kernels as sums of convolutions with small ones.

The taps of a kernel in every second row and column form a kernel of their own, with twice the
dilation. A kernel is therefore the sum of four such phases: four convolutions of the same input,
whose outputs are added. Some runtimes have fast code for depthwise kernels of at most 25 taps only;
there, the sum takes a fraction of the time, although it computes the same products.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from nas.ir import Conv, Shape, conv_pads, out_shape
from nas.lowering.forms import MOST_TAPS


@dataclass(frozen=True)
class Phase:
    """Every n-th row and column of the taps of a kernel.

    Attributes:
        conv: The convolution with these taps.
        first: First row and first column of the taps in the kernel.
        step: Distance between the rows and columns.
    """

    conv: Conv
    first: tuple[int, int]
    step: int

    def taps(self, kernel: np.ndarray) -> np.ndarray:
        """Return the taps of the phase, of a kernel of shape (outputs, inputs, rows, columns)."""
        row, column = self.first
        return kernel[..., row :: self.step, column :: self.step]


def phases(conv: Conv, shape: Shape) -> tuple[Phase, ...]:
    """Return the phases of a convolution; one if it has at most `MOST_TAPS` taps.

    Args:
        conv: The convolution, of a stride of 1 or 2. Only the first phase has its bias.
        shape: Shape of its input, for which the phases are equivalent.
    """
    step = math.ceil(conv.kernel / math.isqrt(MOST_TAPS))
    if step == 1:
        return (Phase(conv, (0, 0), 1),)
    _, *size = out_shape(conv, (conv.in_channels, *shape[1:]))
    starts = conv_pads(conv, shape)[:2]
    found: list[Phase] = []
    for row in range(step):
        for column in range(step):
            sides = [
                _side(conv, first, step, start, before, after)
                for first, start, before, after in zip(
                    (row, column), starts, shape[1:], size, strict=True
                )
            ]
            (rows, top, bottom), (columns, left, right) = sides
            part = replace(
                conv,
                kernel=rows,
                columns=columns,
                dilation=conv.dilation * step,
                bias=conv.bias and not found,
                padding=(top, left, bottom, right),
            )
            found.append(Phase(part, (row, column), step))
    return tuple(found)


def _side(
    conv: Conv, first: int, step: int, start: int, before: int, after: int
) -> tuple[int, int, int]:
    """Return the taps of a phase along one axis, and the padding before and after.

    Args:
        conv: The convolution.
        first: First tap of the phase.
        step: Distance between its taps.
        start: Padding before the first tap of the whole kernel, in pixels.
        before: Size of the input, in pixels.
        after: Size of the output, in pixels.
    """
    taps = len(range(first, conv.kernel, step))
    head = start - first * conv.dilation
    reach = (after - 1) * conv.stride + (taps - 1) * step * conv.dilation + 1
    return taps, head, max(0, reach - before - head)
