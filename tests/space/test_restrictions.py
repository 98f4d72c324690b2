import pytest

from nas.space.restrictions import parse_restriction

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
        ("a.depth <=", "is not a condition"),
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
