import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.blocks import Rules
from nas.blocks.parts import depthwise, expanded, make_divisible, split_channels
from nas.ir import MixConv


@pytest.mark.parametrize(
    ("channels", "groups", "rule", "sizes"),
    [
        (64, 3, "equal", (22, 21, 21)),
        (128, 3, "equal", (44, 42, 42)),
        (192, 5, "equal", (40, 38, 38, 38, 38)),
        (32, 4, "equal", (8, 8, 8, 8)),
        (32, 4, "exponential", (16, 8, 4, 4)),
        (7, 1, "exponential", (7,)),
    ],
)
def test_splits_of_the_paper_and_its_code(channels, groups, rule, sizes):
    assert split_channels(channels, groups, rule) == sizes


@given(st.integers(16, 2000), st.integers(1, 5), st.sampled_from(["equal", "exponential"]))
def test_splits_add_up(channels, groups, rule):
    sizes = split_channels(channels, groups, rule)
    assert sum(sizes) == channels
    assert len(sizes) == groups
    assert min(sizes) >= 1


def test_a_group_without_channels_is_refused():
    with pytest.raises(ValueError, match="4 channels cannot be split over 5 groups"):
        split_channels(4, 5)


@pytest.mark.parametrize(
    ("value", "rounded"), [(24 * 1.3, 32), (40 * 1.3, 56), (80 * 1.3, 104), (3, 8), (39, 40)]
)
def test_rounding_of_the_published_code(value, rounded):
    assert make_divisible(value) == rounded


def test_expansion():
    assert expanded(12, 3) == 36  # whole ratios are exact
    assert expanded(16, 2.5) == 40
    assert expanded(12, 3, group_width=8) == 40  # whole groups


@given(st.integers(3, 40), st.sampled_from([1, 2, 4, 8]), st.integers(1, 3))
def test_group_widths_divide_their_convolutions(units, width, groups):
    part = depthwise(
        units * width,
        kernels=(3, 5, 7)[:groups],
        stride=1,
        split="equal",
        dilated=False,
        group_width=width,
        activation="relu",
        rules=Rules(),
    )
    conv = part.children[0][1]
    for one in conv.convs if isinstance(conv, MixConv) else (conv,):
        assert one.in_channels == one.groups * width


def test_dilation_replaces_large_kernels_at_stride_one_only():
    def kernels(stride):
        part = depthwise(
            32,
            kernels=(3, 9),
            stride=stride,
            split="equal",
            dilated=True,
            group_width=1,
            activation="relu",
            rules=Rules(),
        )
        return [(c.kernel, c.dilation) for c in part.children[0][1].convs]

    assert kernels(1) == [(3, 1), (3, 4)]
    assert kernels(2) == [(3, 1), (9, 1)]
