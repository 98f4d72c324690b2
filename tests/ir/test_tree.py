from itertools import pairwise

import pytest
from hypothesis import given, settings

from nas.ir import (
    BatchNorm,
    Cascade,
    Concat,
    Conv,
    Residual,
    Scale,
    Seq,
    Slices,
    Sum,
    end_shape,
    nested,
    residual_ends,
    walk,
)
from tests.random_trees import CHANGING, CONTAINERS, nodes, trees


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


@given(trees())
@settings(max_examples=100)
def test_the_end_of_a_random_tree_is_that_of_its_last_layer(case):
    tree, shape = case
    layers = list(walk(Seq((("before", Scale(shape[0])), ("tree", tree))), shape))
    end = end_shape(tree, shape)
    after = list(walk(Seq((("tree", tree), ("after", Scale(end[0])))), shape))
    assert after[-1].in_shape == end
    assert [layer.path for layer in layers[1:]] == [layer.path for layer in after[:-1]]
    assert [layer[1:] for layer in layers[1:]] == [layer[1:] for layer in after[:-1]]


def test_random_trees_hold_every_kind_of_node():
    found = set()

    @given(trees())
    @settings(max_examples=200, database=None)
    def collect(case):
        found.update(type(node) for node in nodes(case[0]))

    collect()
    assert found >= {*CHANGING, *CONTAINERS}


def test_an_empty_sequence_has_no_layers():
    tree = Seq((("none", Seq(())), ("sum", Sum((("a", Conv(3, 3)), ("b", Seq(())))))))
    assert [layer.path for layer in walk(tree, (3, 4, 4))] == ["sum.a"]
    assert list(walk(Seq(()), (3, 4, 4))) == []


def test_concatenated_and_cascaded_branches_are_walked_in_order():
    concat = Concat((("a", Conv(4, 2)), ("b", Seq(())), ("c", Conv(4, 6))))
    cascade = Cascade((("0", Seq(())), ("1", Conv(6, 6, 3))), (6, 6))
    layers = list(walk(Seq((("concat", concat), ("cascade", cascade))), (4, 8, 8)))
    assert [(layer.path, layer.in_shape[0], layer.out_shape[0]) for layer in layers] == [
        ("concat.a", 4, 2), ("concat.c", 4, 6), ("cascade.1", 6, 6),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", [Slices, Cascade])
def test_slices_of_other_channels_than_the_input_are_refused(kind):
    node = kind((("0", Seq(())), ("1", Conv(3, 3))), (3, 3))
    with pytest.raises(ValueError, match=r"'x\.s' expects 6 channels, but its input has 7"):
        list(walk(Seq((("s", node),)), (7, 8, 8), "x"))
    with pytest.raises(ValueError, match="expects 3 channels, but its input has 4"):
        list(walk(kind(node.children, (4, 4)), (8, 8, 8)))


def test_a_cascade_that_changes_its_shape_is_refused():
    with pytest.raises(ValueError, match="the cascade 'c' must keep one shape"):
        list(walk(Cascade((("0", Conv(3, 3)), ("1", Conv(3, 4)))), (6, 8, 8), "c"))


def test_the_residual_branch_of_a_sum_ends_in_its_last_normalization():
    children = (("shortcut", Seq(branch(4, 6))), ("body", Seq(branch(4, 8, 6))))
    assert residual_ends(Sum(children, "body"), "x") == {"x.body.norm"}
    assert residual_ends(Sum(children, "shortcut"), "x") == {"x.shortcut.norm"}
    assert residual_ends(Sum(children), "x") == set()
    bare = (("shortcut", Seq(())), ("body", BatchNorm(4)))
    assert residual_ends(Seq((("s", Sum(bare, "body")),))) == {"s.body"}
    inner = Sum((("a", Residual(branch(4, 4))), ("b", Conv(4, 4))), "b")
    assert residual_ends(inner) == {"a.norm"}  # the residual branch b has none


def test_nested_containers_keep_what_they_are():
    one, two, three = Conv(2, 2), Conv(2, 2), Conv(2, 2)
    branches = nested(Sum((("a.b", one), ("c", two)), "c"))
    assert isinstance(branches, Sum)
    assert branches.branch == "c"
    assert [name for name, _ in branches.children] == ["a", "c"]
    assert branches.children[0][1].children == (("b", one),)
    for kind in (Slices, Cascade):
        slices = nested(kind((("a", one), ("b", two), ("c", three)), (2, 2, 2)))
        assert (type(slices), slices.sizes) == (kind, (2, 2, 2))
        assert slices.children == (("a", one), ("b", two), ("c", three))
