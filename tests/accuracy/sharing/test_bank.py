import math
import random
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.accuracy.sharing.bank import (
    WeightBank,
    WeightSlice,
    _cut,
    _enlarged_shape,
    _initial_weights,
    _sizes_present,
    tree_slices,
    weight_slices,
)
from nas.accuracy.sharing.skeletons import fresh_buffers, skeleton
from nas.blocks import MBConv, RexBlock, Rules, UniversalBlock
from nas.ir import BatchNorm, Conv, LayerNorm, Scale, Seq, SplitAttention
from nas.space import load_space, sample
from nas.torch_model import build, to_module, zero_residuals
from tests.networks import DEEP, TINY
from tests.random_trees import trees

space = load_space("mixnet").with_classes(10)


@given(st.integers(0, 10_000))
def test_slices_are_the_parameters_of_every_network(seed):
    """Names and shapes are those of the network's own module, whatever the space draws."""
    spec = space.decode(sample(space, random.Random(seed)).genotype)
    expected = {name: tuple(p.shape) for name, p in skeleton(spec).named_parameters()}
    assert {part.name: part.shape for part in weight_slices(spec)} == expected


ATTENTION = SplitAttention(4, 2, Conv(4, 2, bias=True), BatchNorm(2), "relu", Conv(2, 8, bias=True))


@given(trees())
@settings(max_examples=40)
def test_slices_are_the_parameters_of_every_layer_tree(case):
    tree, shape = case
    expected = {name: tuple(p.shape) for name, p in to_module(tree).named_parameters()}
    assert {part.name: part.shape for part in tree_slices(tree, shape)} == expected


def test_new_vectors_begin_as_in_a_single_network():
    tree = Seq((("norm", LayerNorm(8)), ("scale", Scale(8, 0.125)), ("attention", ATTENTION)))
    parts = {part.name: part for part in tree_slices(tree, (8, 4, 4))}
    found = {name: _initial_weights(part, part.shape, 0.0) for name, part in parts.items()}
    fixed = {name: tensor.unique().tolist() for name, tensor in found.items() if tensor.dim() == 1}
    assert fixed == {
        "norm.weight": [1], "norm.bias": [0], "scale.weight": [0.125],
        "attention.reduce.bias": [0], "attention.norm.weight": [1], "attention.norm.bias": [0],
        "attention.expand.bias": [0],
    }  # fmt: skip


def test_gates_of_several_groups_are_shared_at_equal_widths_alone():
    keys = [
        {part.name: part.key for part in tree_slices(Seq((("a", node),)), (channels, 4, 4))}
        for node, channels in (
            (ATTENTION, 8),
            (replace(ATTENTION, channels=3, reduce=Conv(3, 2, bias=True)), 6),
            (replace(ATTENTION, channels=3, radix=1), 3),
        )
    ]
    assert [key["a.expand.weight"] for key in keys] == [
        "a/expand_of2x4/weight_dense", "a/expand_of2x3/weight_dense", "a/expand/weight_dense",
    ]  # fmt: skip
    assert len({key["a.reduce.weight"] for key in keys}) == 1


@pytest.mark.parametrize("block", [MBConv(channels=16, kernels=(3, 5)), RexBlock(channels=16)])
def test_what_is_added_to_a_branch_does_not_matter_to_its_weights(block):
    trees = [replace(block, skip=skip).expand(16, Rules()) for skip in (True, "pool", False)]
    keys = [{part.key for part in tree_slices(tree, (16, 8, 8))} for tree in trees]
    plain = {key for key in keys[2] if not key.startswith("project/norm")}  # it ends no branch
    assert keys[0] == keys[1] >= plain
    assert len(plain) > 6
    wider = {part.key for part in tree_slices(block.expand(12, Rules()), (12, 8, 8))}
    assert wider >= plain


def test_normalization_is_shared_by_networks_with_the_same_activation_function():
    """Of the whole block, also where no function follows; everything else is shared by all."""
    relu, swish = (
        {part.name: part.key for part in tree_slices(block.expand(16, Rules()), (16, 8, 8))}
        for block in (
            MBConv(channels=16, kernels=(3, 5), expansion=6, se_ratio=0.25, activation=function)
            for function in ("relu", "swish")
        )
    )
    norms = {name for name in relu if "norm" in name}
    assert len(norms) == 6
    for name in relu:
        expected = relu[name].replace("norm_of_relu", "norm_of_swish")
        assert swish[name] == expected
        assert (swish[name] != relu[name]) is (name in norms)


@pytest.mark.parametrize(
    ("block", "norm"),
    [
        (UniversalBlock(channels=16, start_kernels=3, activation="swish"), "start.norm"),
        (RexBlock(channels=16, se_ratio=0.25, expansion=6, activation="swish"), "expand.norm"),
    ],
)
def test_a_normalization_depends_on_its_own_block_alone(block, norm):
    """Whichever function the block before it has, and even if none follows right behind it."""
    keys = []
    for function in ("relu", "hard_swish"):
        before = MBConv(channels=16, kernels=3, expansion=3, activation=function)
        spec = TINY.replace(stages=((before, block),))
        keys.append({part.name: part.key for part in weight_slices(spec)})
    own = [name for name in keys[0] if name.startswith(f"stages.0.1.{norm}")]
    assert len(own) == 2
    for name in own:
        assert keys[0][name] == keys[1][name]
        assert "norm_of_swish" in keys[0][name]


def test_a_normalization_belongs_to_the_function_behind_a_gate():
    """That of the next convolution does not come into it."""
    block = RexBlock(channels=16, se_ratio=0.25, expansion=6, activation="swish")
    keys = {part.name: part.key for part in weight_slices(TINY.replace(stages=((block,),)))}
    assert "norm_of_relu6" in keys["stages.0.0.spatial.norm.weight"]


def test_blocks_without_a_function_leave_the_order_of_networks_alone():
    """Their tensors are their own, and no beginning of those that have a function."""
    plain = _with_function(TINY, "identity")
    banks = [WeightBank(), WeightBank()]
    for bank, order in zip(banks, ((plain, TINY), (TINY, plain)), strict=True):
        for spec in order:
            bank.add(spec)
    assert {*banks[0].tensors} == {*banks[1].tensors}


def test_the_normalization_of_a_gate_belongs_to_the_function_behind_it():
    keys = {part.name: part.key for part in tree_slices(Seq((("a", ATTENTION),)), (8, 4, 4))}
    assert keys["a.norm.weight"] == "a/norm_of_relu/weight"


def test_trained_scales_are_adopted_for_every_activation_function():
    bank = WeightBank()
    for spec in (TINY, DEEP, _with_function(DEEP, "swish")):
        bank.add(spec)
    weights = {part.name: torch.full(part.shape, 2.5) for part in weight_slices(DEEP)}
    bank.adopt(DEEP, weights)
    for spec in (DEEP, _with_function(DEEP, "swish")):
        scales = [t for name, t in bank.weights(spec).items() if "norm" in name]
        assert len(scales) > 10
        assert all(torch.equal(scale, torch.full_like(scale, 2.5)) for scale in scales)


def test_tensors_that_all_functions_share_still_serve():
    """Files were written so before functions had tensors of their own."""
    bank, former = WeightBank(), WeightBank()
    bank.add(DEEP)
    for key, tensor in bank.tensors.items():
        former.tensors[key.replace("_of_relu", "").replace("_of_swish", "")] = tensor
    assert former.missing_share(DEEP) == 0
    for name, tensor in bank.weights(DEEP).items():
        assert torch.equal(former.weights(DEEP)[name], tensor)


def test_a_network_alone_in_a_bank_is_the_network():
    """With the bank's tensors as weights, bank and module compute the same."""
    torch.manual_seed(0)
    bank = WeightBank().train()
    bank.add(DEEP)
    images = torch.randn(4, 3, 32, 32)
    module = build(DEEP, 0).train()
    module.load_state_dict({**bank.weights(DEEP), **fresh_buffers(DEEP)})
    assert torch.allclose(bank(DEEP, images, fresh_buffers(DEEP)), module(images), atol=1e-5)


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_residual_branches_of_a_bank_start_at_zero(seed):
    """At those scales that `zero_residuals` sets in the network's own module, and no others."""
    spec = space.decode(sample(space, random.Random(seed)).genotype)
    module = build(spec, 0)
    zero_residuals(module)
    expected = {name for name, weight in module.named_parameters() if not weight.any()}
    for zero in (True, False):
        bank = WeightBank(zero)
        bank.add(spec)
        found = {name for name, weight in bank.weights(spec).items() if not weight.any()}
        biases = {name for name in expected if name.endswith("bias")}
        assert found == (expected if zero else biases)


def test_kernel_groups_share_the_center_of_the_kernels_of_their_channels():
    torch.manual_seed(0)
    bank = WeightBank()
    bank.add(DEEP)
    bank.add(DEEP.replace(stages=_with_kernels((3, 9))))
    large = bank.tensors["stages/0/0/depthwise/conv/weight_grouped1"]
    assert tuple(large.shape) == (48, 1, 9, 9)
    weights = bank.weights(DEEP)  # kernels 3 and 5, 24 channels each
    assert torch.equal(weights["stages.0.0.depthwise.conv.0.weight"], large[:24, :, 3:6, 3:6])
    assert torch.equal(weights["stages.0.0.depthwise.conv.1.weight"], large[24:, :, 2:7, 2:7])


def test_grouped_1x1_convolutions_are_the_diagonal_blocks_of_dense_ones():
    bank = WeightBank()
    bank.add(DEEP)
    dense = bank.tensors["stages/0/1/expand/conv/weight_dense"]
    assert tuple(dense.shape) == (144, 24, 1, 1)
    weights = bank.weights(DEEP)
    assert torch.equal(weights["stages.0.1.expand.conv.0.weight"], dense[:72, :12])
    assert torch.equal(weights["stages.0.1.expand.conv.1.weight"], dense[72:, 12:])


def test_enlarging_keeps_the_weights():
    torch.manual_seed(0)
    bank = WeightBank()
    bank.add(DEEP)
    before = {name: tensor.detach().clone() for name, tensor in bank.weights(DEEP).items()}
    larger = DEEP.replace(stages=_with_kernels((9,)))
    # The bank has the central 5x5 of the 9x9 kernels of 48 channels, and everything else.
    total = sum(math.prod(part.shape) for part in weight_slices(larger))
    assert bank.missing_share(larger) == pytest.approx(48 * (81 - 25) / total)
    assert bank.missing_share(DEEP) == 0
    bank.add(DEEP.replace(stages=_with_kernels((9,))))
    assert all(torch.equal(bank.weights(DEEP)[name], tensor) for name, tensor in before.items())


def _with_kernels(kernels):
    (first, second), (third,) = DEEP.stages
    return ((_replace(first, kernels), second), (third,))


def _with_function(spec, function):
    stages = tuple(
        tuple(replace(block, activation=function) for block in stage) for stage in spec.stages
    )
    return spec.replace(stages=stages)


def _replace(block, kernels):
    return type(block)(**{**vars(block), "kernels": kernels})


def test_a_bank_has_no_weights_of_networks_that_were_never_added():
    bank = WeightBank()
    assert bank.missing_share(TINY) == 1
    with pytest.raises(KeyError, match="stem/conv/weight_dense"):
        bank.weights(TINY)
    bank.add(TINY)
    assert bank.missing_share(TINY) == 0
    with pytest.raises(RuntimeError, match="exceeds dimension size"):
        bank.weights(TINY.replace(stem=type(TINY.stem)(channels=64)))


def test_weights_are_initialized_as_those_of_a_single_network():
    """He et al. 2015 with fan-out for convolutions, a deviation of 0.01 for the classifier."""
    torch.manual_seed(0)
    bank = WeightBank()
    wide = TINY.replace(stem=type(TINY.stem)(channels=128), head=type(TINY.head)(channels=512))
    bank.add(wide)
    weights = bank.weights(wide)
    stem = weights["stem.conv.weight"]
    assert tuple(stem.shape) == (128, 3, 3, 3)
    assert float(stem.detach().std()) == pytest.approx((2 / (9 * 128)) ** 0.5, rel=0.05)
    assert float(weights["classifier.weight"].detach().std()) == pytest.approx(0.01, rel=0.05)
    depthwise = weights["stages.0.0.depthwise.conv.0.weight"].detach()
    assert float(depthwise.std()) == pytest.approx((2 / 9) ** 0.5, rel=0.1)


@pytest.mark.parametrize(
    ("key", "shape", "expected"),
    [
        ("stem/conv/weight_dense", (32, 3, 3, 3), math.sqrt(2 / (9 * 32))),
        ("a/conv/weight_dense", (96, 24, 1, 1), math.sqrt(2 / 96)),
        ("a/conv/weight_grouped1", (48, 1, 5, 5), math.sqrt(2 / 25)),
        ("a/conv/weight_grouped8", (48, 8, 3, 3), math.sqrt(2 / (9 * 8))),
        ("classifier/weight", (10, 64), 0.01),
        ("a/norm/weight", (7,), 1.0),
        ("a/norm/weight_residual", (7,), 0.25),
        ("a/norm/bias", (7,), 0.0),
        ("a/reduce/bias", (7,), 0.0),
    ],
)
def test_every_kind_of_tensor_has_its_deviation(monkeypatch, key, shape, expected):
    """He et al. 2015 with fan-out; with ones for random numbers the deviation is the value."""
    monkeypatch.setattr(torch, "randn", torch.ones)
    found = _initial_weights(WeightSlice("", key, (0,) * len(shape), shape), shape, 0.25)
    assert tuple(found.shape) == shape
    assert found.flatten().tolist() == pytest.approx([expected] * math.prod(shape))


def test_the_deviation_is_that_of_the_shared_tensor(monkeypatch):
    """Of 64 channels, not of the 16 that a network takes of them."""
    monkeypatch.setattr(torch, "randn", torch.ones)
    bank = WeightBank()
    bank.add(TINY)
    stem = bank.tensors["stem/conv/weight_dense"]
    assert stem[0, 0, 0, 0].item() == pytest.approx(math.sqrt(2 / (9 * 16)))
    bank.add(TINY.replace(stem=type(TINY.stem)(channels=64)))
    stem = bank.tensors["stem/conv/weight_dense"]
    assert tuple(stem.shape) == (64, 3, 3, 3)
    assert stem[0, 0, 0, 0].item() == pytest.approx(math.sqrt(2 / (9 * 16)))  # kept
    assert stem[16, 0, 0, 0].item() == pytest.approx(math.sqrt(2 / (9 * 64)))


def test_a_slice_is_a_view_from_its_first_channel_and_the_center_of_its_kernel():
    tensor = torch.arange(4 * 3 * 5 * 5).view(4, 3, 5, 5)
    part = _cut(tensor, WeightSlice("", "", (1, 2, 0, 0), (2, 1, 3, 3)))
    assert torch.equal(part, tensor[1:3, 2:3, 1:4, 1:4])
    assert part.data_ptr() == tensor[1, 2, 1, 1].data_ptr()
    whole = _cut(tensor, WeightSlice("", "", (0, 0, 0, 0), (4, 3, 5, 5)))
    assert torch.equal(whole, tensor)


@pytest.mark.parametrize(
    ("begin", "shape", "present"),
    [
        ((0, 0, 0, 0), (4, 3, 5, 5), 300),
        ((2, 0, 0, 0), (4, 3, 5, 5), 150),  # two of its channels
        ((5, 0, 0, 0), (4, 3, 5, 5), 0),
        ((0, 1, 0, 0), (4, 3, 3, 3), 72),
        ((0, 0, 0, 0), (4, 3, 7, 7), 300),  # the central 5x5
    ],
)
def test_the_weights_that_a_bank_has_are_counted(begin, shape, present):
    found = _sizes_present(WeightSlice("", "", begin, shape), torch.zeros(4, 3, 5, 5))
    assert math.prod(found) == present


def test_a_tensor_grows_to_hold_a_slice_and_itself():
    part = WeightSlice("", "", (2, 0, 0, 0), (3, 1, 7, 7))
    assert _enlarged_shape(part, None) == (5, 1, 7, 7)
    assert _enlarged_shape(part, torch.zeros(4, 2, 3, 3)) == (5, 2, 7, 7)


def test_the_slices_of_a_mixed_layer_follow_one_another():
    """Kernel groups of 24 and 24 channels; grouped 1x1 convolutions of 12 to 72, twice."""
    parts = {part.name: part for part in weight_slices(DEEP)}
    first, second = (parts[f"stages.0.0.depthwise.conv.{n}.weight"] for n in (0, 1))
    assert (first.begin, first.shape) == ((0, 0, 0, 0), (24, 1, 3, 3))
    assert (second.begin, second.shape) == ((24, 0, 0, 0), (24, 1, 5, 5))
    assert first.key == second.key == "stages/0/0/depthwise/conv/weight_grouped1"
    first, second = (parts[f"stages.0.1.expand.conv.{n}.weight"] for n in (0, 1))
    assert (first.begin, first.shape) == ((0, 0, 0, 0), (72, 12, 1, 1))
    assert (second.begin, second.shape) == ((72, 12, 0, 0), (72, 12, 1, 1))
    assert second.key == "stages/0/1/expand/conv/weight_dense"
    bias = parts["classifier.bias"]
    assert (bias.key, bias.begin, bias.shape) == ("classifier/bias", (0,), (10,))
    # Block 0.1 keeps its channels and its size, so it has a residual branch.
    assert parts["stages.0.1.project.norm.weight"].key.endswith("/weight_residual")
    assert parts["stages.0.0.project.norm.weight"].key.endswith("/weight")
    assert parts["stages.0.1.project.norm.bias"].key.endswith("/bias")
