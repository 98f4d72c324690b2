"""The forms of layers, and the choice that needs no measurement."""

import pytest

from nas.ir import Conv, MixConv, SqueezeExcite
from nas.lowering import (
    AS_TRAINED,
    MERGE_ALL,
    PHASED,
    PHASED_SLICES,
    Form,
    can_be_padded,
    candidates,
    default_form,
    group_width,
    is_pointwise,
    trained_form,
)


def test_forms_of_a_depthwise_mix():
    mix = MixConv(tuple(Conv(8, 8, k, groups=8) for k in (3, 5, 7)))
    names = {name: str(form) for name, form in candidates(mix).items()}
    assert names == {
        "merge": "3", "padded": "padded 3", "halves": "2+1", "phases": "phased 3",
        "halves phases": "phased 2+1", "split": "1+1+1", "split phases": "phased 1+1+1",
    }  # fmt: skip
    small = MixConv(tuple(Conv(8, 8, k, groups=8) for k in (3, 5, 5)))
    assert list(candidates(small)) == ["merge", "halves", "padded", "split"]
    steep = MixConv(tuple(Conv(8, 8, k, stride=3, groups=8) for k in (3, 7)))
    assert list(candidates(steep)) == ["merge", "split"]
    strided = MixConv(tuple(Conv(8, 8, k, 2, groups=8) for k in (3, 5)))
    assert list(candidates(strided)) == ["merge", "split"]
    wide = MixConv((Conv(8, 8, 3, groups=4), Conv(8, 8, 5, groups=8)))  # group widths differ
    assert list(candidates(wide)) == ["split"]


def test_forms_of_pointwise_slices():
    even, uneven = MixConv((Conv(8, 16),) * 2), MixConv((Conv(9, 16), Conv(8, 16)))
    assert list(candidates(even)) == ["grouped", "dense", "split"]
    assert list(candidates(uneven)) == ["dense", "split"]
    assert MERGE_ALL.form(MixConv((Conv(16, 32),) * 2), (32, 7, 7)) == Form((2,))
    assert MERGE_ALL.form(even, (16, 7, 7)) == Form((2,), dense=True)


def depthwise(*kernels, width=8, **more):
    return MixConv(tuple(Conv(width, width, k, groups=width, **more) for k in kernels))


@pytest.mark.parametrize(("count", "halves"), [(2, None), (3, (2, 1)), (4, (2, 2)), (5, (3, 2))])
def test_halves_put_the_middle_kernel_with_the_smaller_ones(count, halves):
    forms = candidates(depthwise(*(3, 5, 7, 9, 11)[:count]))
    assert (forms["halves"].runs if "halves" in forms else None) == halves


def test_neighbors_are_merged_in_pairs_where_that_is_no_halving():
    assert "neighbors" not in candidates(depthwise(3, 5))
    assert "neighbors" not in candidates(depthwise(3, 5, 7))  # the halves are 2 and 1
    assert "neighbors" not in candidates(depthwise(3, 5, 7, 9))
    assert candidates(depthwise(3, 5, 7, 9, 11))["neighbors"].runs == (2, 2, 1)


def test_preferences_take_the_first_form_that_a_layer_has():
    shape = (24, 14, 14)
    assert PHASED.form(depthwise(3, 5, 7), shape) == Form((3,), phased=True)
    assert PHASED.form(depthwise(3, 5), shape) == Form((2,))
    assert PHASED.form(MixConv((Conv(8, 16),) * 2), shape) == Form((2,))
    assert PHASED.form(MixConv((Conv(9, 16), Conv(8, 16))), shape) == Form((2,), dense=True)
    assert PHASED_SLICES.form(depthwise(3, 5, 7), shape) == Form((1, 1, 1), phased=True)
    assert PHASED_SLICES.form(depthwise(9), shape) == Form((1,), phased=True)
    assert PHASED_SLICES.form(depthwise(3, 5), shape) == Form((1, 1))
    assert AS_TRAINED.form(depthwise(3, 9), shape) == Form((1, 1))
    gate = SqueezeExcite(Conv(8, 2), Conv(2, 8), "relu")
    assert not AS_TRAINED.wide_gate(gate, shape)


def test_trained_forms():
    assert trained_form(depthwise(9)) == "merge"
    assert trained_form(depthwise(3, 9)) == trained_form(MixConv((Conv(8, 8),) * 2)) == "split"


def test_one_depthwise_convolution_is_merged_or_padded():
    forms = candidates(depthwise(5))
    assert forms == {"merge": Form((1,)), "padded": Form((1,), padded=True)}


def test_what_can_be_padded():
    assert can_be_padded(depthwise(3, 5))
    assert not can_be_padded(depthwise(3, 5, stride=2))
    assert not can_be_padded(depthwise(1, 3))  # a 1x1 kernel has no padding
    assert not can_be_padded(MixConv((Conv(8, 8, 3, groups=4), Conv(8, 8, 3, groups=8))))


def test_one_dense_convolution_makes_the_layer_no_pointwise_one():
    assert is_pointwise(MixConv((Conv(8, 8),) * 2))
    assert not is_pointwise(MixConv((Conv(8, 8), Conv(8, 8, groups=8))))
    assert not is_pointwise(depthwise(3))


@pytest.mark.parametrize(
    ("mix", "form"),
    [
        (depthwise(3, 5), "merge"),
        (MixConv((Conv(8, 8, 3, groups=4), Conv(8, 8, 5, groups=8))), "split"),
        (MixConv((Conv(16, 48),) * 2), "grouped"),
        (MixConv((Conv(16, 40),) * 2), "dense"),  # outputs fill no whole blocks of 16
        (MixConv((Conv(24, 48),) * 2), "dense"),  # nor do inputs
        (MixConv((Conv(16, 48), Conv(32, 48))), "dense"),  # slices of two sizes
    ],
)
def test_default_forms(mix, form):
    assert default_form(mix) == form
    assert MERGE_ALL.form(mix, (8, 7, 7)) == candidates(mix)[form]


def test_gates_are_narrow_without_measurement():
    se = SqueezeExcite(Conv(8, 2), Conv(2, 8), "relu")
    assert MERGE_ALL.wide_gate(se, (8, 7, 7)) is False


def test_names_of_forms():
    assert str(Form((2, 1))) == "2+1"
    assert str(Form((3,), dense=True)) == "dense 3"
    assert str(Form((3,), padded=True)) == "padded 3"


# -- wider groups --------------------------------------------------------------------------------


def grouped(*kernels, width=8, channels=16, **more):
    return MixConv(
        tuple(Conv(channels, channels, k, groups=channels // width, **more) for k in kernels)
    )


def test_group_widths():
    assert group_width(depthwise(3, 5)) == 1
    assert group_width(grouped(3, 5, width=8, channels=24)) == 8
    # The largest: a group of 16 channels beside one of 2.
    assert group_width(MixConv((Conv(16, 16, 3, groups=8), Conv(16, 16, 5)))) == 16


@pytest.mark.parametrize(
    ("mix", "form"),
    [
        (grouped(3, 5, 7, 9), Form((1, 1, 1, 1))),
        (grouped(3, 5, width=24, channels=48), Form((1, 1))),
        # A group as wide as the kernel's share of the channels is no 1x1 convolution.
        (grouped(3, 5, width=16), Form((1, 1))),
        (grouped(3, 5, stride=2), Form((1, 1))),
        (grouped(3, 3), Form((2,))),  # no kernel is padded with zeros
        (grouped(5), Form((1,))),
        (grouped(5, dilation=2), Form((1,))),
        # Merging puts zeros between the taps of a dilated kernel.
        (grouped(3, 3, dilation=2), Form((1, 1))),
        (MixConv((Conv(8, 8, 3, groups=4, dilation=2), Conv(8, 8, 5, groups=4))), Form((1, 1))),
    ],
)
def test_wider_groups_of_several_kernel_sizes_stay_as_trained(mix, form):
    assert MERGE_ALL.form(mix, (64, 14, 14)) == form


def test_wider_groups_have_the_forms_of_depthwise_convolutions():
    assert list(candidates(grouped(3, 5, 5))) == ["merge", "halves", "padded", "split"]
    # Dense 3x3 convolutions side by side have no dense form, which is that of 1x1 ones.
    assert list(candidates(grouped(3, 5, width=16))) == ["merge", "padded", "split"]
    assert not is_pointwise(MixConv((Conv(8, 8, 3), Conv(8, 8))))


# -- explicit padding ----------------------------------------------------------------------------


def test_kernels_with_explicit_padding_are_merged_only_if_they_are_alike():
    pads = (1, 1, 1, 1)
    assert list(candidates(depthwise(3, 3, padding=pads))) == ["merge", "padded", "split"]
    assert MERGE_ALL.form(depthwise(3, 3, padding=pads), (16, 7, 7)) == Form((2,))
    # At stride 2, kernels of 3 and 4 pixels give as many outputs on 7 pixels, but not on all sizes.
    unlike = MixConv(tuple(Conv(8, 8, k, 2, groups=8, padding=pads) for k in (3, 4)))
    assert list(candidates(unlike)) == ["split"]
    assert default_form(unlike) == "split"


def test_large_kernels_with_explicit_padding_are_not_written_as_sums():
    assert "phases" in candidates(depthwise(7))
    assert list(candidates(depthwise(7, padding=(3, 3, 3, 3)))) == ["merge", "padded"]
    assert list(candidates(depthwise(7, padding=(3, 0, 3, 0)))) == ["merge"]


def test_a_row_of_taps_is_no_pointwise_convolution():
    assert not is_pointwise(MixConv((Conv(8, 8, 1, padding=(0, 3, 0, 3), columns=7),)))
