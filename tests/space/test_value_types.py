import ast
from typing import Literal

import pytest

from nas.space.restrictions import parse_restriction
from nas.space.value_types import dotted, type_of

NAMES = {"a.kernels": ((3,), (3, 5)), "act": ("relu", "swish"), "n": (1, 2), "skip": (True, False)}
KINDS = {"act": Literal["relu", "swish", "mish"]}


def test_types_of_values():
    assert [type_of(v) for v in ((3, 5), "relu", 2, 0.5, True)] == [
        "kernels",
        "text",
        "number",
        "number",
        "number",
    ]


def test_names_with_dots():
    assert dotted(ast.parse("a.b.c", mode="eval").body) == "a.b.c"
    assert dotted(ast.parse("a", mode="eval").body) == "a"
    assert dotted(ast.parse("f(a).b", mode="eval").body) == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a.kernels == 4", "'a.kernels == 4': kernel size 4 is not supported"),
        ("a.kernels == 'x'", "'x' is not a mix of kernels"),
        ("a.kernels == n", "compares a mix of kernels with a number, which are never equal"),
        ("skip == 'yes'", "compares a number with text, which are never equal"),
        ("act != 3", "compares text with a number, which are never equal"),
        (
            "act != 'swich'",
            r"unknown value 'swich' \(did you mean 'swish'\?\); allowed: mish, relu",
        ),
        ("a.kernels < 3", "cannot be evaluated"),
        ("min(n) > 1", "cannot be evaluated"),
        ("abs(act) == 1", "cannot be evaluated"),
        ("n == 1 or act < 3", "cannot be evaluated"),
        ("(n or act) == 1", "cannot be evaluated"),
        ("-a.kernels == 1", "cannot be evaluated"),
    ],
)
def test_comparisons_that_say_nothing_are_refused(text, words):
    with pytest.raises(ValueError, match=words):
        parse_restriction(text, NAMES, KINDS)


def test_values_that_another_space_may_have_can_be_compared():
    assert parse_restriction("act != 'mish'", NAMES, KINDS).holds({"act": "relu"})
    assert parse_restriction("a.kernels != 7", NAMES, KINDS).holds({"a.kernels": (3,)})
