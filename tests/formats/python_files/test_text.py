"""The text of Python files."""

import ast

import pytest

from nas.formats.python_files.text import Argument, Call, call, constants_text, lines


def test_a_call_is_broken_where_it_is_too_long():
    short = call("nn.Conv2d", 3, 8, bias=False)
    assert lines(short, "    ", "x = ", ",") == ["    x = nn.Conv2d(3, 8, bias=False),"]
    outer = Call("f", (Argument(short, "a="), Argument(short, "b=")))
    flat = "f(a=nn.Conv2d(3, 8, bias=False), b=nn.Conv2d(3, 8, bias=False))"
    room = 100 - len(flat)
    assert lines(outer, " " * room) == [" " * room + flat]
    assert [line.strip() for line in lines(outer, " " * (room + 1))] == [
        "f(",
        "a=nn.Conv2d(3, 8, bias=False),",
        "b=nn.Conv2d(3, 8, bias=False),",
        ")",
    ]


def test_a_comment_breaks_all_calls_around_it():
    inner = Call("g", (Argument("1", note="one"), Argument("2")))
    outer = Call("f", (Argument(inner), Argument("3")))
    assert (
        "|".join(lines(outer, ""))
        == "f(|    g(|        # one|        1,|        2,|    ),|    3,|)"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (("a",), 'X = ("a",)'),
        ((), "X = ()"),
        ([], "X = []"),
        ({}, "X = {}"),
        (["it's", 'say "hi"', "\\n"], """X = ["it's", 'say "hi"', "\\\\n"]"""),
        ({"mean": [0.5, 1e-05], "no": None}, 'X = {"mean": [0.5, 1e-05], "no": None}'),
        ("\u202e\n\ud800", r'X = "\u202e\n\ud800"'),
    ],
)
def test_plain_data_is_written_as_literals(value, text):
    assert constants_text({"X": value}) == text
    assert ast.literal_eval(text.removeprefix("X = ")) == value


def test_long_literals_are_broken():
    value = {"names": ["x" * 30] * 4}
    text = constants_text({"X": value, "Y": 1})
    assert text.splitlines()[:3] == ["X = {", '    "names": [', f'        "{"x" * 30}",']
    assert text.endswith("    ],\n}\nY = 1")
