import pytest
import torch
from hypothesis import given, settings

from nas.ir import (
    Activation,
    BatchNorm,
    Cascade,
    ChannelShuffle,
    Concat,
    Conv,
    Dropout,
    Flatten,
    LayerNorm,
    Linear,
    LocalResponseNorm,
    Pool,
    Residual,
    Scale,
    Seq,
    Slices,
    SplitAttention,
    SqueezeExcite,
    Sum,
    walk,
)
from nas.torch_model import to_loaded_module, to_module, weights_of
from tests.random_trees import trees


@given(trees())
@settings(max_examples=60)
def test_shapes_follow_the_layer_tree(case):
    tree, shape = case
    torch.manual_seed(0)
    model = to_module(tree).eval()
    shapes = {}
    for name, module in model.named_modules():
        module.register_forward_hook(
            lambda m, i, out, name=name: shapes.__setitem__(name, tuple(out.shape[1:]))
        )
    x = torch.randn(2, *shape)
    before = x.clone()
    model(x)
    assert torch.equal(x, before)  # no layer overwrites what others read
    for layer in walk(tree, shape):
        flat = isinstance(layer.leaf, Flatten | Linear)
        assert shapes[layer.path] == (layer.out_shape[:1] if flat else layer.out_shape)


@given(trees())
@settings(max_examples=40)
def test_random_trees_can_be_trained(case):
    """Also where activation functions stand beside what reads the same input, or after views."""
    tree, shape = case
    torch.manual_seed(0)
    model = to_module(tree, dropout=0.1, drop_path=0.1).train()
    x = torch.randn(2, *shape, requires_grad=True)
    model(x.clone()).square().sum().backward()
    assert x.grad is not None
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("kind", [Residual, Sum, Concat, Slices, Cascade])
def test_an_activation_function_beside_another_branch_leaves_the_input(kind):
    relu, identity = Activation("relu"), Seq(())
    if kind is Residual:
        tree = Residual((("relu", relu),))
    elif kind in (Sum, Concat):
        tree = kind((("relu", relu), ("identity", identity)))
    else:
        tree = kind((("relu", relu), ("identity", identity)), (1, 1))
    x = torch.tensor([-1.0, -2.0]).reshape(1, 2, 1, 1)
    expected = {
        Residual: [-1, -2], Sum: [-1, -2], Concat: [0, 0, -1, -2], Slices: [0, -2],
        Cascade: [0, -2],
    }  # fmt: skip
    assert to_module(tree)(x).flatten().tolist() == expected[kind]
    assert x.flatten().tolist() == [-1, -2]


def test_an_activation_function_after_a_normalization_overwrites_its_input():
    tree = Seq((("norm", BatchNorm(1)), ("one", Activation("relu")), ("two", Activation("relu"))))
    model = to_module(tree)
    assert (model.one.inplace, model.two.inplace) == (True, False)


@pytest.mark.parametrize("compiled", [False, True])
def test_every_kind_of_node_can_be_compiled_and_exported(compiled):
    attention = SplitAttention(
        4, 2, Conv(4, 2, bias=True), BatchNorm(2), "relu", Conv(2, 8, bias=True)
    )
    branches = Concat((("a", Conv(8, 4, 3)), ("b", Pool("max", 3, 1)), ("c", Seq(()))))
    tree = Seq(
        (
            ("shuffle", ChannelShuffle(2)),
            ("sum", Sum((("branch", Conv(8, 8, 3)), ("shortcut", Seq(()))), "branch")),
            ("concat", branches),
            ("cascade", Cascade((("0", Seq(())), ("1", Conv(10, 10, 3))), (10, 10))),
            ("slices", Slices((("0", LayerNorm(4)), ("1", Scale(16))))),
            ("lrn", LocalResponseNorm(3)),
            ("pool", Pool("average", 3, 2, "same", count_padding=True)),
            ("odd", Pool("max", 2, 2, (0, 0, 1, 1), ceil=True)),
            ("reduce", Conv(20, 8)),
            ("attention", attention),
            ("se", SqueezeExcite(Conv(4, 2), Conv(2, 4), "relu", gate="hard_sigmoid")),
            ("dropout", Dropout(0.5)),
            ("classifier", Linear(4 * 3 * 2, 3)),
        )
    )
    model = to_module(tree).eval()
    x = torch.randn(2, 8, 11, 7)
    if compiled:
        changed = torch.compile(model, backend="aot_eager", fullgraph=True)
    else:
        sizes = ({0: torch.export.Dim("batch")},)
        changed = torch.export.export(model, (x,), dynamic_shapes=sizes).module()
    assert torch.allclose(changed(x), model(x), atol=1e-5)
    more = torch.randn(5, 8, 11, 7)
    assert torch.allclose(changed(more), model(more), atol=1e-5)


def test_weights_go_out_and_come_back():
    tree = Seq((("conv", Conv(1, 2, 3)), ("norm", BatchNorm(2)), ("act", Activation("relu"))))
    module = to_module(tree).eval()
    module.norm.running_mean.fill_(0.5)
    weights = weights_of(module)
    assert weights["conv.weight"].shape == (2, 1, 3, 3)
    del weights["norm.num_batches_tracked"]
    x = torch.randn(1, 1, 5, 5)
    assert torch.equal(to_loaded_module(tree, weights)(x), module(x))
    mean = weights.pop("norm.running_mean")
    with pytest.raises(KeyError, match=r"missing or unexpected weights: norm\.running_mean"):
        to_loaded_module(tree, weights)
    weights |= {"norm.running_mean": mean, "norm.extra": mean}
    with pytest.raises(KeyError, match=r"missing or unexpected weights: norm\.extra"):
        to_loaded_module(tree, weights)
