"""Kinds of operators in profiles."""

import pytest

from nas.latency.runtimes.operators import SETTLE, convolution_kind, summed


@pytest.mark.parametrize(
    ("kernel", "width", "channels", "side", "kind"),
    [
        ((9, 9), 1, 64, 14, "depthwise convolution 9x9"),
        ((1, 1), 64, 64, 14, "convolution 1x1"),
        ((1, 7), 64, 64, 14, "convolution 1x7"),
        ((3, 3), 3, 3, 224, "convolution 3x3"),
        ((3, 3), 1, 1, 28, "convolution 3x3"),  # of gray images
        ((1, 1), 64, 64, 1, "convolution of one pixel"),
    ],
)
def test_what_convolutions_are_called(kernel, width, channels, side, kind):
    assert convolution_kind(kernel, width, channels, side) == kind


def test_kinds_are_summed_by_the_medians_of_their_operators():
    slow_at_first = [100.0] * SETTLE + [1.0, 2.0, 9.0]
    times = [("first", "Gemm", 1.0), ("last", "Gemm", 4.0), ("sum", "Add", 7.0)]
    found = summed([*times, *(("layer", "Conv", time) for time in slow_at_first)])
    assert found == {"Add": 7.0, "Gemm": 5.0, "Conv": 2.0}
    assert list(found) == ["Add", "Gemm", "Conv"]
