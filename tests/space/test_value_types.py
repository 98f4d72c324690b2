import ast
from typing import Literal

import pytest

from nas.blocks.fields import Skip
from nas.space.restrictions import parse_restriction
from nas.space.value_types import dotted, type_of, type_of_all

NAMES = {"a.kernels": ((3,), (3, 5)), "act": ("relu", "swish"), "n": (1, 2), "skip": (True, False)}
KINDS = {"act": Literal["relu", "swish", "mish"], "either": Skip}
MIXED = {**NAMES, "either": (True, "pool")}


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


def test_values_of_several_types():
    assert type_of_all((True, False)) == "number"
    assert type_of_all((True, "pool")) == "mixed"
    pooled = parse_restriction("either == 'pool'", MIXED, KINDS)
    assert [pooled.holds({"either": value}) for value in (True, "pool")] == [False, True]
    added = parse_restriction("either == true", MIXED, KINDS)
    assert [added.holds({"either": value}) for value in (True, "pool")] == [True, False]
    assert parse_restriction("not either", MIXED, KINDS).holds({"either": False})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("either == 'pol'", r"unknown value 'pol' \(did you mean 'pool'\?\); allowed: pool"),
        ("either < 1", "cannot be evaluated"),
        ("either <= either", "cannot be evaluated"),
        ("max(either, either) == 1", "cannot be evaluated"),
        ("either + 1 == 2", "cannot be evaluated"),
    ],
)
def test_values_of_several_types_have_no_order(text, words):
    with pytest.raises(ValueError, match=words):
        parse_restriction(text, MIXED, KINDS)
