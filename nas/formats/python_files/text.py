"""The text of Python files: calls and literals, broken into lines as formatters do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

WIDTH = 100


@dataclass(frozen=True)
class Argument:
    """An argument of a call.

    Attributes:
        value: What is given.
        key: What stands before it, such as ``bias=``.
        note: A comment for the line before it; the call is then broken into lines.
    """

    value: Call | str
    key: str = ""
    note: str = ""


@dataclass(frozen=True)
class Call:
    """A call in the text, or a literal with brackets of its own.

    Attributes:
        name: What is called; empty for a literal.
        arguments: The arguments, or the items.
        brackets: The brackets around them.
    """

    name: str
    arguments: tuple[Argument, ...] = ()
    brackets: str = "()"

    def __str__(self) -> str:
        inside = ", ".join(f"{a.key}{a.value}" for a in self.arguments)
        if not self.name and self.brackets == "()" and len(self.arguments) == 1:
            inside += ","  # a tuple
        return f"{self.name}{self.brackets[0]}{inside}{self.brackets[1]}"

    def has_notes(self) -> bool:
        """Return whether some argument, of it or inside it, has a comment."""
        return any(
            a.note or (isinstance(a.value, Call) and a.value.has_notes()) for a in self.arguments
        )


def call(name: str, *arguments: object, **named: object) -> Call:
    """Return a call of plain values."""
    plain = [Argument(str(argument)) for argument in arguments]
    return Call(name, (*plain, *(Argument(str(v), f"{k}=") for k, v in named.items())))


def lines(value: Call | str, indent: str, before: str = "", after: str = "") -> list[str]:
    """Return an expression as lines, which are broken where formatters do.

    Args:
        value: The expression.
        indent: Spaces before every line.
        before: Text before the expression.
        after: Text after it.
    """
    flat = f"{indent}{before}{value}{after}"
    if isinstance(value, str) or (len(flat) <= WIDTH and not value.has_notes()):
        return [flat]
    found, inner = [f"{indent}{before}{value.name}{value.brackets[0]}"], f"{indent}    "
    for argument in value.arguments:
        found += [f"{inner}# {argument.note}"] if argument.note else []
        found += lines(argument.value, inner, argument.key, ",")
    return [*found, f"{indent}{value.brackets[1]}{after}"]


def literal(value: Any) -> Call | str:
    """Return plain data as an expression, with texts in double quotes where that is simpler."""
    if isinstance(value, Mapping):
        return Call(
            "", tuple(Argument(literal(v), f"{_text(k)}: ") for k, v in value.items()), "{}"
        )
    if isinstance(value, (tuple, list)):
        brackets = "()" if isinstance(value, tuple) else "[]"
        return Call("", tuple(Argument(literal(item)) for item in value), brackets)
    return _text(value) if isinstance(value, str) else repr(value)


def _text(text: str) -> str:
    quoted = repr(text)
    return f'"{quoted[1:-1]}"' if quoted[0] == "'" and '"' not in quoted else quoted


def constants_text(values: Mapping[str, Any]) -> str:
    """Return plain data as assignments to names."""
    return "\n".join(
        line for name, value in values.items() for line in lines(literal(value), "", f"{name} = ")
    )
