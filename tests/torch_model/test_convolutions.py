import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from nas.ir import Conv, MixConv, Pad, Seq
from nas.torch_model import to_module


@given(
    st.integers(5, 40),
    st.sampled_from([1, 2]),
    st.sampled_from([3, 5, 7, 9, 11]),
    st.sampled_from(["symmetric", "same"]),
)
@settings(max_examples=60)
def test_padding_rules(size, stride, kernel, padding):
    torch.manual_seed(0)
    conv = to_module(Conv(2, 3, kernel, stride, padding=padding))
    x = torch.randn(1, 2, size, size)
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    before = total // 2 if padding == "same" else (kernel - 1) // 2
    after = total - total // 2 if padding == "same" else (kernel - 1) // 2
    expected = F.conv2d(F.pad(x, (before, after, before, after)), conv.weight, stride=stride)
    assert conv(x).shape[-1] == -(-size // stride)
    assert torch.allclose(conv(x), expected, atol=1e-5)


@given(
    st.integers(1, 12),
    st.sampled_from([1, 2]),
    st.sampled_from([3, 5, 7, 9, 11]),
    st.sampled_from([1, 4]),
)
@settings(max_examples=60)
def test_leaving_out_what_meets_padding_only_changes_nothing(size, stride, kernel, groups):
    torch.manual_seed(0)
    conv = to_module(Conv(4, 4, kernel, stride, groups))
    x = torch.randn(2, 4, size, size, requires_grad=True)
    results = []
    for training in (True, False):
        conv.train(training).zero_grad()
        y = conv(x)
        (grad,) = torch.autograd.grad(y.square().sum(), x, retain_graph=True)
        y.square().sum().backward()
        results.append((y.detach(), grad, conv.weight.grad.clone()))
    for one, two in zip(*results, strict=True):
        assert torch.allclose(one, two, atol=1e-4)


def test_mixed_convolutions_slice_and_concatenate_the_channels():
    mix = to_module(MixConv((Conv(2, 2, 3, groups=2), Conv(3, 3, 5, groups=3)))).eval()
    x = torch.randn(1, 5, 6, 6)
    y = mix(x)
    assert torch.equal(y[:, :2], F.conv2d(x[:, :2], mix[0].weight, padding=1, groups=2))
    assert torch.equal(y[:, 2:], F.conv2d(x[:, 2:], mix[1].weight, padding=2, groups=3))


def test_columns_that_a_pad_layer_has_added_are_not_padded_again():
    tree = Seq((("pad", Pad((0, 2, 0, 2))), ("conv", Conv(1, 1, 5, padding=(2, 0, 2, 0)))))
    module = to_module(tree)
    x = torch.randn(1, 1, 7, 9)
    expected = F.conv2d(x, module.conv.weight, padding=2)
    assert torch.allclose(module(x), expected, atol=1e-6)


def test_a_kernel_of_unequal_sides_is_padded_on_each_side():
    module = to_module(Conv(2, 4, 4, 2, 2, 1, True, (2, 0, 1, 1), columns=3))
    assert module.weight.shape == (4, 1, 4, 3)
    x = torch.randn(1, 2, 6, 7)
    padded = F.pad(x, (0, 1, 2, 1))
    expected = F.conv2d(padded, module.weight, module.bias, stride=2, groups=2)
    assert torch.equal(module(x), expected)
