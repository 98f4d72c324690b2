import pytest

from nas.ir import Conv, Pool


@pytest.mark.parametrize(
    ("kernel", "dilation", "extent", "margin"),
    [(1, 1, 1, 0), (3, 1, 3, 1), (3, 4, 9, 4), (5, 2, 9, 4), (9, 1, 9, 4)],
)
def test_extent_and_margin(kernel, dilation, extent, margin):
    conv = Conv(8, 8, kernel, dilation=dilation)
    assert (conv.extent, conv.margin) == (extent, margin)


def test_spans_of_kernels():
    assert Conv(4, 4, 3, dilation=2).spans == (5, 5)
    assert Conv(4, 4, 1, padding=(0, 3, 0, 3), columns=7).spans == (1, 7)


def test_taps_are_rows_times_columns():
    assert (Conv(1, 1, 5).window, Conv(1, 1, 5).taps) == ((5, 5), 25)
    flat = Conv(1, 1, 4, padding=(1, 1, 1, 0), columns=3)
    assert (flat.window, flat.taps) == ((4, 3), 12)


@pytest.mark.parametrize(("kernel", "margin"), [(1, 0), (2, 0), (3, 1), (5, 2)])
def test_margin_of_a_pooling(kernel, margin):
    assert Pool("max", kernel).margin == margin


def test_nodes_compare_by_identity():
    assert Conv(1, 1) != Conv(1, 1)
