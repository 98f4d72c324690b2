import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.ir import Conv, Seq, Sum, out_shape
from nas.latency.weights import realistic_weights
from nas.lowering import lower
from nas.lowering.forms import MOST_TAPS, Form
from nas.lowering.phases import phases
from nas.torch_model.modules import to_loaded_module


class Phased:
    def form(self, mix, shape):
        return Form((1,) * len(mix.convs), phased=True)


def test_seven_by_seven_is_four_kernels_of_every_second_tap():
    found = phases(Conv(8, 8, 7, groups=8, bias=True), (8, 14, 14))
    assert [phase.first for phase in found] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [phase.conv.window for phase in found] == [(4, 4), (4, 3), (3, 4), (3, 3)]
    assert [phase.conv.padding for phase in found] == [
        (3, 3, 3, 3), (3, 2, 3, 2), (2, 3, 2, 3), (2, 2, 2, 2),
    ]  # fmt: skip
    assert {phase.conv.dilation for phase in found} == {2}
    assert [phase.conv.bias for phase in found] == [True, False, False, False]
    kernel = np.arange(49).reshape(1, 1, 7, 7)
    assert found[1].taps(kernel)[0, 0].tolist() == [
        [1, 3, 5], [15, 17, 19], [29, 31, 33], [43, 45, 47],
    ]  # fmt: skip


@pytest.mark.parametrize(("kernel", "parts"), [(1, 1), (3, 1), (5, 1), (7, 4), (9, 4), (11, 9)])
def test_no_phase_has_more_taps_than_are_fast(kernel, parts):
    found = phases(Conv(4, 4, kernel, groups=4), (4, 20, 20))
    assert len(found) == parts
    assert max(phase.conv.taps for phase in found) <= MOST_TAPS
    assert sum(phase.conv.taps for phase in found) == kernel**2


@given(
    st.sampled_from([1, 3, 5, 7, 9, 11]),
    st.sampled_from([1, 2]),
    st.sampled_from([1, 2, 3]),
    st.sampled_from(["symmetric", "same"]),
    st.sampled_from([(6, 6, 6), (6, 12, 3), (6, 6, 2)]),
    st.integers(1, 30),
    st.integers(1, 30),
    st.booleans(),
    st.integers(0, 10**6),
)
@settings(max_examples=150)
def test_phases_add_up_to_the_convolution(
    kernel, stride, dilation, padding, channels, height, width, bias, seed
):
    inputs, outputs, groups = channels
    conv = Conv(inputs, outputs, kernel, stride, groups, dilation, bias, padding)
    shape = (inputs, height, width)
    found = phases(conv, shape)
    if len(found) > 1:
        assert min(min(phase.conv.padding) for phase in found) >= 0
    assert {out_shape(phase.conv, shape) for phase in found} == {out_shape(conv, shape)}
    tree = Seq((("conv", conv),))
    weights = realistic_weights(tree, seed)
    images = torch.randn(2, *shape, generator=torch.Generator().manual_seed(seed))
    expected = to_loaded_module(tree, weights)(images)
    if kernel > 5:
        tree, weights = lower(tree, shape, weights, Phased())
        assert isinstance(tree.children[0][1], Sum)
    found = to_loaded_module(tree, weights)(images)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
