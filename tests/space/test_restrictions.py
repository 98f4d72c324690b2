import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.space.restrictions import names_in, parse_restriction

NAMES = {
    "a.depth": (1, 2),
    "b.depth": (1, 2, 3),
    "w": (16, 24),
    "act": ("relu", "swish"),
    "n": (8,),
}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("a.depth <= b.depth", True),
        ("b.depth < a.depth", False),
        ("a.depth + b.depth <= 5 and w == 16", True),
        ("not (a.depth == 2) or w % 8 == 0", True),
        ("1 <= a.depth < b.depth", True),
        ("max(a.depth, b.depth) == 3", True),
        ("-a.depth > -1", False),
    ],
)
def test_evaluation(text, holds):
    restriction = parse_restriction(text, NAMES)
    assert restriction.holds({"a.depth": 2, "b.depth": 3, "w": 16}) is holds


KERNELS = {"a.kernels": ((3,), (3, 5), (5,)), "b.kernels": ((3,), (5,)), "skip": (True, False)}


@pytest.mark.parametrize(
    ("text", "kernels", "holds"),
    [
        ("a.kernels != 3", (3,), False),
        ("a.kernels != 3", (3, 5), True),
        ('a.kernels != "3"', (3,), False),
        ("a.kernels == 3", (3,), True),
        ('not a.kernels == "3.5"', (3, 5), False),
        ('not a.kernels == "3.5"', (5,), True),
        ("a.kernels == 3.5", (3, 5), True),
        ("3.5 == a.kernels", (3, 5), True),
        ("max(a.kernels) <= 3", (3, 5), False),
        ("min(a.kernels) <= 3", (3, 5), True),
        ("a.kernels == b.kernels", (3,), True),
    ],
)
def test_mixes_of_kernels_are_compared_by_value(text, kernels, holds):
    restriction = parse_restriction(text, KERNELS)
    assert restriction.holds({"a.kernels": kernels, "b.kernels": (3,)}) is holds


PYTHON = {"x": (0, 1, 2), "y": (0, 3), "z": (-1, 2.5)}
TERMS = st.recursive(
    st.sampled_from(["x", "y", "z", "0", "1", "2.5"]),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["and", "or", "+", "-", "*", "/", "//", "%"]), inner, inner).map(
            lambda t: f"({t[1]} {t[0]} {t[2]})"
        ),
        st.tuples(st.sampled_from(["<", "<=", "==", "!="]), inner, inner, inner).map(
            lambda t: f"({t[1]} {t[0]} {t[2]} {t[0]} {t[3]})"
        ),
        inner.map(lambda t: f"(not {t})"),
        inner.map(lambda t: f"abs(-{t})"),
        st.tuples(inner, inner).map(lambda t: f"max({t[0]}, {t[1]})"),
    ),
    max_leaves=8,
)


@given(
    TERMS, TERMS, st.sampled_from([0, 1, 2]), st.sampled_from([0, 3]), st.sampled_from([-1, 2.5])
)
def test_restrictions_agree_with_python(left, right, x, y, z):
    text = f"{left} <= {right} or x > 5"
    try:
        expected = bool(eval(text, {"x": x, "y": y, "z": z}))  # noqa: S307
    except ArithmeticError:
        expected = False
    restriction = parse_restriction(text, PYTHON)
    assert restriction.holds({"x": x, "y": y, "z": z}) is expected


def test_or_has_the_value_that_decides_as_in_python():
    restriction = parse_restriction("(x or y) > 1", PYTHON)
    assert restriction.holds({"x": 0, "y": 3})
    assert not restriction.holds({"x": 1, "y": 3})
    assert not parse_restriction("(x and y) > 1", PYTHON).holds({"x": 0, "y": 3})


def test_stages_may_have_names_that_are_words_of_python():
    names = {"class.depth": (1, 2), "and.depth": (1, 2), "lambda": (1, 2)}
    restriction = parse_restriction("class.depth <= and.depth and lambda > 1", names)
    assert restriction.names == ("class.depth", "and.depth", "lambda")
    assert restriction.holds({"class.depth": 1, "and.depth": 2, "lambda": 2})
    assert not restriction.holds({"class.depth": 2, "and.depth": 1, "lambda": 2})


def test_true_and_false_are_written_as_in_yaml_or_python():
    for text in ("skip == true", "skip == True"):
        restriction = parse_restriction(text, KERNELS)
        assert restriction.holds({"skip": True})
        assert not restriction.holds({"skip": False})


def test_a_restriction_that_fixed_values_make_true_has_no_parts():
    restriction = parse_restriction("n <= 8", NAMES)
    assert restriction.names == ()
    assert restriction.conjuncts() == []


def test_a_division_by_zero_does_not_hold():
    restriction = parse_restriction("w / (a.depth - 1) > 3", NAMES)
    assert not restriction.holds({"w": 16, "a.depth": 1})
    assert restriction.holds({"w": 16, "a.depth": 2})


def test_text_can_be_compared():
    assert parse_restriction("act == 'swish'", NAMES).holds({"act": "swish"})


def test_fixed_values_are_constants():
    restriction = parse_restriction("w <= n * 2", NAMES)
    assert restriction.names == ("w",)
    assert restriction.holds({"w": 16})
    assert not restriction.holds({"w": 24})


def test_chains_fall_apart_into_pairs():
    parts = parse_restriction("a.depth <= b.depth <= w and w > n", NAMES).conjuncts()
    assert [part.names for part in parts] == [("a.depth", "b.depth"), ("b.depth", "w"), ("w",)]


def test_a_part_on_fixed_values_is_not_lost():
    with pytest.raises(ValueError, match="a part of it involves fixed values only"):
        parse_restriction("w >= 16 and n > 8", NAMES).conjuncts()
    parts = parse_restriction("w >= 16 and n == 8", NAMES).conjuncts()
    assert [part.names for part in parts] == [("w",)]


def test_names_are_found():
    assert parse_restriction("a.depth <= w * 2", NAMES).names == ("a.depth", "w")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a.depth <=", "is not a condition; write one such as a.depth <= b.depth"),
        ("k == 3.5.7", "is not a condition; quote kernel groups, as in a.kernels == '3.5.7'"),
        ("a.dept <= 3", r"unknown variable 'a.dept' \(did you mean 'a.depth'\?\)"),
        ("__import__('os')", "only comparisons"),
        ("a.depth.real.__class__ == 1", "unknown variable"),
        ("[1 for x in w] == 1", "only comparisons"),
        ("w ** 9999999 > 1", "only comparisons"),
        ("w + 1", "does not compare a variable"),
        ("(lambda: 1)() == 1", "only comparisons"),
        ("1 <= 2", "does not compare a variable"),
        ("-w", "does not compare a variable"),
        ("act < 3", "cannot be evaluated, for example with act = 'relu'"),
        ("act * w == 1", "cannot be evaluated"),
        ("'a' * 10000000000 < act", "cannot be evaluated"),
        ("min() < w", "cannot be evaluated"),
        ("n > 8", "never holds, because all values in it are fixed"),
        ("not " * 5000 + "w", "characters; allowed: at most 1000"),
    ],
)
def test_what_is_no_condition_is_refused(text, words):
    with pytest.raises(ValueError, match=words):
        parse_restriction(text, NAMES)


def test_names_are_found_whether_known_or_not():
    assert names_in("a.depth <= b.other and w", NAMES) == ("a.depth", "b.other", "w")
    for text in ("a.depth <=", "a.depth[0] < 3", "a" * 1001):
        with pytest.raises(
            ValueError, match=r"is not a condition|is not supported|1001 characters"
        ):
            names_in(text, NAMES)
