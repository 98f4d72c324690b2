from itertools import pairwise

import pytest

from nas.ir import BatchNorm, Conv, Residual, Seq, Slices, Sum, nested, residual_ends, walk


def branch(*channels):
    parts = [(f"conv{i}", Conv(a, b)) for i, (a, b) in enumerate(pairwise(channels))]
    return (*parts, ("norm", BatchNorm(channels[-1])))


def test_walk_yields_leaves_in_order_with_paths_and_shapes():
    tree = Seq((("stem", Conv(3, 4, 3, 2)), ("block", Residual(branch(4, 8, 4)))))
    layers = list(walk(tree, (3, 8, 8)))
    assert [layer.path for layer in layers] == ["stem", "block.conv0", "block.conv1", "block.norm"]
    assert [layer.in_shape for layer in layers][1:] == [layer.out_shape for layer in layers][:-1]
    assert [layer.out_shape[0] for layer in layers] == [4, 8, 4, 4]
    assert next(walk(tree, (3, 8, 8), "net")).path == "net.stem"


def test_a_residual_needs_equal_shapes():
    with pytest.raises(ValueError, match=r"residual 'b' adds shapes \(4, 8, 8\) and \(6, 8, 8\)"):
        list(walk(Seq((("b", Residual(branch(4, 6))),)), (4, 8, 8)))


def test_residual_ends_are_the_last_normalizations_of_branches():
    inner = Residual((("a", BatchNorm(4)), ("b", Seq((("norm", BatchNorm(4)),)))))
    tree = Seq((("first", Seq(branch(4, 4))), ("second", Residual((("inner", inner),)))))
    assert residual_ends(tree) == {"second.inner.b.norm"}
    tree = Seq((("x", Residual((("inner", inner), ("last", BatchNorm(4))))),))
    assert residual_ends(tree) == {"x.inner.b.norm", "x.last"}
    assert residual_ends(BatchNorm(4)) == set()


def test_dotted_names_become_nested_children():
    one, two, three = Conv(1, 1), Conv(1, 1), Conv(1, 1)
    tree = nested(Residual((("a.b.c", one), ("d", two), ("a.e", three))))
    assert isinstance(tree, Residual)
    (a, inner), (d, kept) = tree.children
    assert (a, d, kept) == ("a", "d", two)
    (b, innermost), (e, last) = inner.children
    assert (b, e, last) == ("b", "e", three)
    assert innermost.children == (("c", one),)
    assert nested(one) is one


def test_branches_begin_with_the_same_input_and_slices_with_their_own():
    branches = Sum((("a", Conv(3, 5, 3)), ("b", Seq((("0", Conv(3, 4)), ("1", Conv(4, 5)))))))
    tree = Seq((("mix", Slices((("0", Conv(4, 6)), ("1", branches)))), ("last", Conv(11, 2))))
    found = {layer.path: (layer.in_shape[0], layer.out_shape[0]) for layer in walk(tree, (7, 8, 8))}
    assert found == {
        "mix.0": (4, 6), "mix.1.a": (3, 5), "mix.1.b.0": (3, 4), "mix.1.b.1": (4, 5),
        "last": (11, 2),
    }  # fmt: skip


def test_branches_that_do_not_fit_are_refused():
    unequal = Sum((("a", Conv(3, 5)), ("b", Conv(3, 4))))
    with pytest.raises(ValueError, match=r"branches of 'x\.s' have outputs of different shapes"):
        list(walk(Seq((("s", unequal),)), (3, 8, 8), "x"))
    strided = Slices((("a", Conv(3, 5)), ("b", Conv(3, 4, stride=2))))
    with pytest.raises(ValueError, match="have outputs of different shapes"):
        list(walk(strided, (6, 8, 8), "s"))
    with pytest.raises(ValueError, match="'s' expects 6 channels, but its input has 7"):
        list(walk(Slices((("a", Conv(3, 5)), ("b", Conv(3, 4)))), (7, 8, 8), "s"))


def test_a_branch_ends_as_its_last_container_does():
    slices = Slices((("0", Conv(2, 2)), ("1", Conv(2, 3, stride=2)), ("2", Conv(1, 1))))
    with pytest.raises(ValueError, match=r"branches of 'b\.s' have outputs of different shapes"):
        list(walk(Seq((("s", slices),)), (5, 8, 8), "b"))
    halves = Slices((("0", Conv(2, 2, stride=2)), ("1", Conv(2, 3, stride=2))))
    deep = Seq((("first", Conv(3, 4)), ("halves", halves)))
    tree = Seq((("sum", Sum((("a", Conv(3, 5, 3, 2)), ("b", deep)))), ("last", Conv(5, 7))))
    layers = list(walk(tree, (3, 8, 8)))
    assert [layer.path for layer in layers] == [
        "sum.a", "sum.b.first", "sum.b.halves.0", "sum.b.halves.1", "last",
    ]  # fmt: skip
    assert [layer.out_shape for layer in layers][2:] == [(2, 4, 4), (3, 4, 4), (7, 4, 4)]
    assert layers[-1].in_shape == (5, 4, 4)
