"""How well a few numbers describe the widths of a network: RegNet's quantized linear fit.

Radosavovic et al. 2020 (section 3.3) found that the widths of good networks grow linearly with the
position of the block, and are described by three numbers: block j, from 0, has the width
w0 * wm^round(log_wm(1 + wa * j / w0)). `nas.space` derives networks from these numbers; here they
are found from widths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError

Floats = NDArray[np.float64]
QUANTUM = 8
"""Predicted widths are multiples of this."""
WIDTHS = np.arange(8.0, 257.0, 8.0)
"""Initial widths w0 that are tried, in channels."""
SLOPES = np.append(0.0, np.geomspace(1, 256, 97))
"""Slopes wa that are tried, in channels per block."""
RATIOS = np.linspace(1.5, 3, 61)
"""Ratios wm between the widths of stages that are tried."""


@dataclass(frozen=True)
class QuantizedLinear:
    """The quantized linear function that is nearest to a network's widths.

    Attributes:
        w0: Initial width, in channels.
        wa: Slope, in channels per block.
        wm: Ratio between the widths of consecutive stages.
        error: Mean of |log(predicted width / width)| over the blocks, e_fit in the paper.
    """

    w0: float
    wa: float
    wm: float
    error: float


def fit_quantized_linear(widths: Sequence[int]) -> QuantizedLinear:
    """Return the nearest quantized linear function, by grid search as in the paper.

    Of equally near ones, the first is returned: that with the least w0, then wa, then wm.

    Args:
        widths: Width of every block, in channels, in order.

    Raises:
        AnalysisError: If there is no block, or a width is not positive.
    """
    if not len(widths) or min(widths) <= 0:
        raise AnalysisError("a fit of widths needs one or more blocks of positive width")
    found = np.array(widths, dtype=np.float64)
    best = (np.inf, 0, 0, 0)
    for i, w0 in enumerate(WIDTHS):  # one by one, so that little memory is needed
        distance = np.abs(_predicted(w0, len(found)) - np.log(found)).mean(axis=-1)
        j, k = np.unravel_index(int(distance.argmin()), distance.shape)
        best = min(best, (float(distance[j, k]), i, int(j), int(k)))
    error, first, slope, ratio = best
    return QuantizedLinear(float(WIDTHS[first]), float(SLOPES[slope]), float(RATIOS[ratio]), error)


def _predicted(w0: float, depth: int) -> Floats:
    """Return the logarithms of the widths of all functions with a w0, (slopes, ratios, blocks)."""
    linear = np.log(1 + SLOPES[:, None] * np.arange(depth) / w0)
    steps = np.log(RATIOS)
    powers = np.rint(linear[:, None, :] / steps[:, None]).astype(np.int64)
    # The widths of each ratio by power; there are few, and logarithms take long.
    widths = w0 * np.exp(steps[:, None] * np.arange(powers.max() + 1))
    logs = np.log(np.maximum(np.rint(widths / QUANTUM), 1) * QUANTUM)
    found: Floats = logs[np.arange(len(RATIOS))[:, None], powers]
    return found
