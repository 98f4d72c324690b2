import itertools
import math

import numpy as np
import pytest

from analysis.errors import AnalysisError
from analysis.statistics.quantized_linear import RATIOS, SLOPES, WIDTHS, fit_quantized_linear


def widths_of(depths, widths):
    return np.repeat(widths, depths).tolist()


def distance(widths, w0, wa, wm):
    """Return the distance from the paper's formula, block by block."""
    error = 0.0
    for j, width in enumerate(widths):
        power = round(math.log((w0 + wa * j) / w0) / math.log(wm))
        predicted = max(8, round(w0 * wm**power / 8) * 8)
        error += abs(math.log(predicted / width)) / len(widths)
    return error


@pytest.mark.parametrize(
    ("depths", "widths", "numbers"),
    [  # released networks (pycls, model zoo), whose widths were fitted to their groups
        ([1, 1, 4, 7], [24, 56, 152, 368], (24, 36.44, 2.49)),
        ([1, 2, 7, 12], [32, 64, 160, 384], (24, 24.48, 2.54)),
        ([2, 4, 10, 2], [72, 168, 408, 912], (80, 34.01, 2.25)),
    ],
)
def test_released_regnets_are_described_as_well_as_by_their_own_numbers(depths, widths, numbers):
    blocks = widths_of(depths, widths)
    found = fit_quantized_linear(blocks)
    assert found.error == pytest.approx(distance(blocks, found.w0, found.wa, found.wm))
    assert found.error < distance(blocks, *numbers) + 0.03  # the step of the grid


def test_widths_that_shrink_are_not_described():
    grows = fit_quantized_linear(widths_of([1, 2, 4, 8], [32, 64, 128, 256])).error
    shrinks = fit_quantized_linear(widths_of([8, 4, 2, 1], [256, 128, 64, 32])).error
    assert grows < 0.1 < 0.5 < shrinks


def test_the_fit_is_the_nearest_of_the_grid():
    widths = widths_of([1, 2, 3, 1], [40, 16, 96, 200])
    found = fit_quantized_linear(widths)
    assert found.w0 in WIDTHS
    assert found.wa in SLOPES
    assert found.wm in RATIOS
    for numbers in itertools.product(WIDTHS[::5], SLOPES[::13], RATIOS[::9]):
        assert found.error <= distance(widths, *numbers) + 1e-12


@pytest.mark.parametrize("widths", [[], [8, 0]])
def test_a_network_has_blocks_of_positive_width(widths):
    with pytest.raises(AnalysisError, match="one or more blocks of positive width"):
        fit_quantized_linear(widths)
