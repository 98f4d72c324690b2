from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.ir import GlobalPool, Pool, out_shape

litert = pytest.importorskip("tests.formats.tflite.litert")


@st.composite
def pools(draw):
    """Draw a pooling and the shape of its input."""
    kernel = draw(st.integers(1, 5), "kernel")
    explicit = st.tuples(*[st.integers(0, kernel - 1)] * 4)
    pool = Pool(
        kind=draw(st.sampled_from(["max", "average"]), "kind"),
        kernel=kernel,
        stride=draw(st.integers(1, 3), "stride"),
        padding=draw(st.sampled_from(["symmetric", "same"]) | explicit, "padding"),
        ceil=draw(st.booleans(), "ceil"),
        count_padding=draw(st.booleans(), "count padding"),
    )
    return pool, (2, *(draw(st.integers(kernel, 9), "size") for _ in range(2)))


@given(pools())
@settings(max_examples=100)
def test_pooling(case):
    assert litert.error(*case) < 1e-6


@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize("kind", ["max", "average"])
def test_windows_at_all_sides(kind, ceil):
    for kernel, stride, size in product((2, 3), (2, 3), (6, 7, 8)):
        for padding in ("symmetric", "same", (0, 1, 1, 0), (1, 0, 0, 1)):
            for counted in (False, True) if kind == "average" else (False,):
                pool = Pool(kind, kernel, stride, padding, ceil, counted)
                assert litert.error(pool, (3, size, size + 1)) < 1e-6, pool


CASES = [
    (Pool("max", 3, 2, "same"), ["MAX_POOL_2D"]),
    (Pool("max", 3, 2), ["SLICE", "CONCATENATION"] * 2 + ["MAX_POOL_2D"]),
    (Pool("max", 2, 2), ["MAX_POOL_2D"]),
    (Pool("average", 3), ["AVERAGE_POOL_2D"]),
    (Pool("average", 3, count_padding=True), ["PAD", "AVERAGE_POOL_2D"]),
    (Pool("average", 2, 2, ceil=True), ["AVERAGE_POOL_2D"]),
    (Pool("average", 3, 2), ["PAD", "AVERAGE_POOL_2D", "MUL"]),
]


@pytest.mark.parametrize(("pool", "expected"), CASES)
def test_padding_is_part_of_the_operator_where_that_is_possible(pool, expected):
    assert litert.operators(pool, (3, 8, 8))[0] == expected


def test_what_no_window_reaches_is_not_padded():
    names, model = litert.operators(Pool("max", 3, 2), (3, 8, 8))
    rows = model.subgraphs[0].operators[names.index("CONCATENATION")].outputs[0]
    assert list(model.subgraphs[0].tensors[rows].shape) == [1, 9, 8, 3]


def test_global_pooling():
    assert litert.error(GlobalPool(), (4, 5, 6)) < 1e-6
    assert out_shape(GlobalPool(), (4, 5, 6)) == (4, 1, 1)
