"""Convolutions as equal ones with square kernels that pad all sides alike."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch.nn import functional as F

from nas.formats.square import SquareWindow, square_window, tap_on_pixel, with_padding
from nas.ir import Conv, conv_pads, out_shape

KERNEL = np.arange(1.0, 10.0, dtype=np.float32).reshape(1, 1, 3, 3)


def outputs(conv, kernel, images):
    top, left, bottom, right = conv_pads(conv, images.shape[1:])
    padded = F.pad(torch.from_numpy(images), (left, right, top, bottom))
    return F.conv2d(
        padded, torch.from_numpy(kernel), None, conv.stride, 0, conv.dilation, conv.groups
    ).numpy()


def squared_outputs(conv, kernel, images):
    window = square_window(conv, images.shape[1:])
    squared = torch.from_numpy(window.kernel(conv, kernel))
    images = torch.from_numpy(images)
    return F.conv2d(images, squared, None, conv.stride, window.padding, 1, conv.groups).numpy()


@pytest.mark.parametrize(
    ("conv", "size", "window"),
    [
        (Conv(1, 1, 3), 8, SquareWindow(3, 1, 0, 0)),
        (Conv(1, 1, 5, 2), 8, SquareWindow(5, 2, 0, 0)),
        (Conv(1, 1, 3, 2, padding="same"), 9, SquareWindow(3, 1, 0, 0)),
        (Conv(1, 1, 3, 2, padding="same"), 8, SquareWindow(4, 1, 1, 1)),
        (Conv(1, 1, 7, 2, padding="same"), 8, SquareWindow(8, 3, 1, 1)),
        (Conv(1, 1, 3, dilation=3), 8, SquareWindow(7, 3, 0, 0)),
        (Conv(1, 1, 3, columns=1, padding=(1, 0, 1, 0)), 8, SquareWindow(3, 1, 0, 1)),
        (Conv(1, 1, 2, padding=(0, 0, 1, 1)), 8, SquareWindow(3, 1, 1, 1)),
    ],
)
def test_the_smallest_square_kernel_is_found(conv, size, window):
    assert square_window(conv, (1, size, size)) == window


def test_a_kernel_stands_among_zeros():
    conv = Conv(1, 1, 3, dilation=2)
    found = SquareWindow(6, 3, 1, 0).kernel(conv, KERNEL)
    expected = np.zeros((1, 1, 6, 6), dtype=np.float32)
    expected[0, 0, 1::2, ::2] = KERNEL
    assert np.array_equal(found, expected)


sides = st.integers(0, 3)


@given(
    st.integers(1, 5),
    st.integers(1, 5),
    st.integers(1, 2),
    st.integers(1, 2),
    st.tuples(sides, sides, sides),
    st.integers(6, 12),
)
def test_it_gives_the_same_outputs(rows, columns, stride, dilation, pads, size):
    top, left, bottom = pads
    right = top + bottom - left + (columns - rows) * dilation  # as many outputs on both axes
    assume(right >= 0)
    conv = Conv(2, 4, rows, stride, 2, dilation, padding=(*pads, right), columns=columns)
    shape = (2, size, size)
    assume(min(out_shape(conv, shape)) > 0)
    rng = np.random.default_rng(0)
    kernel = rng.standard_normal((4, 1, rows, columns), dtype=np.float32)
    images = rng.standard_normal((2, *shape), dtype=np.float32)
    expected = outputs(conv, kernel, images)
    found = squared_outputs(conv, kernel, images)
    assert found.shape == expected.shape
    assert np.allclose(found, expected, atol=1e-5)


def test_padding_of_one_axis_only_has_no_square_kernel():
    conv = Conv(1, 1, padding=(0, 0, 0, 1))
    with pytest.raises(
        ValueError, match="no square kernel with equal padding has outputs of 6 x 7"
    ):
        square_window(conv, (1, 6, 6))


@pytest.mark.parametrize(
    ("conv", "tap"),
    [
        (Conv(1, 1, 3), 5),
        (Conv(1, 1, 3, 2, padding="same"), 5),
        (Conv(1, 1, 3, padding=(0, 1, 2, 1)), 2),
        (Conv(1, 1, 3, dilation=2, padding=(1, 1, 3, 3)), 0),  # between the taps
    ],
)
def test_one_tap_meets_one_pixel(conv, tap):
    found = tap_on_pixel(conv, KERNEL, (1, 1, 1))
    assert found.shape == (1, 1, 1, 1)
    assert found.item() == tap
    assert outputs(conv, KERNEL, np.ones((1, 1, 1, 1), np.float32)).item() == tap


def test_padding_before_a_convolution_becomes_its_own():
    conv = with_padding(Conv(3, 3, 3, 2), (1, 2, 3, 4), (3, 8, 8))
    assert conv.padding == (2, 3, 4, 5)
    assert (conv.kernel, conv.stride, conv.in_channels) == (3, 2, 3)
    same = with_padding(Conv(3, 3, 3, 2, padding="same"), (0, 0, 1, 0), (3, 8, 8))
    assert same.padding == (1, 0, 2, 1)  # the padded rows are 9, so that 1 is added on each side
