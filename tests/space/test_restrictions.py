import pytest

from nas.space.restrictions import parse_restriction

NAMES = ("a.depth", "b.depth", "w")


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
        ("w + 1", "compares nothing"),
        ("(lambda: 1)() == 1", "only comparisons"),
    ],
)
def test_what_is_no_condition_is_refused(text, words):
    with pytest.raises(ValueError, match=words):
        parse_restriction(text, NAMES)
