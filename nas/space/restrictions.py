"""Restrictions between variables: ``s1.channels <= s2.channels``, ``s1.depth + s2.depth <= 8``.

An expression uses Python's syntax for comparisons, arithmetic, and/or/not, min, max and abs over
the names of variables, and has the value that Python gives it. It is evaluated by functions made
from its syntax tree and is never run as Python code. A mix of kernels is compared with a size
(``3``), text (``"3.5"``) or another mix, and ``min`` and ``max`` of one are its smallest and its
largest size.
"""

from __future__ import annotations

import ast
import keyword
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from nas.errors import unknown
from nas.space.value_types import Typing, dotted
from nas.space.variables import label

_BINARY: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
MAX_LENGTH = 1000
_UNQUOTED_GROUPS = re.compile(r"\d+\.\d+\.\d")  # 3.5.7, which is no number
LANGUAGE = ("and", "or", "not", "True", "False")
_YAML = {"true": True, "false": False}
_FUNCTIONS: dict[str, Callable[..., Any]] = {"min": min, "max": max, "abs": abs}
Evaluator = Callable[[Mapping[str, Any]], Any]


@dataclass(frozen=True)
class Restriction:
    """A condition on the values of some variables.

    Attributes:
        text: The restriction as written in the document.
        names: Names of the variables in it.
        tree: Parsed expression.
        constants: Fixed values in it, by name.
    """

    text: str
    names: tuple[str, ...]
    tree: ast.expr
    constants: Mapping[str, Any]

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Return whether the condition holds for the given values; not if it divides by zero."""
        try:
            return bool(self._value({**self.constants, **values}))
        except ArithmeticError:
            return False

    @cached_property
    def _value(self) -> Evaluator:
        return _evaluator(self.tree)

    def __getstate__(self) -> dict[str, Any]:
        """Return what is sent to other processes, which make the function anew."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def conjuncts(self) -> list[Restriction]:
        """Return the smallest conditions that must all hold: a <= b and b <= c for a <= b <= c.

        Those that involve fixed values only, and hold, are left out.

        Raises:
            ValueError: If one of them involves fixed values only and does not hold.
        """
        if isinstance(self.tree, ast.BoolOp) and isinstance(self.tree.op, ast.And):
            parts: list[ast.expr] = list(self.tree.values)
        elif isinstance(self.tree, ast.Compare) and len(self.tree.ops) > 1:
            terms = [self.tree.left, *self.tree.comparators]
            parts = [
                ast.Compare(left, [op], [right])
                for left, op, right in zip(terms, self.tree.ops, terms[1:], strict=False)
            ]
        else:
            return [self] if self.names else []
        conjuncts = []
        for part in parts:
            names = tuple(n for n in _names(part, self.text) if n not in self.constants)
            restriction = Restriction(self.text, names, part, self.constants)
            if names:
                conjuncts += restriction.conjuncts()
            elif not restriction.holds({}):
                raise ValueError(
                    f"'{self.text}' never holds, because a part of it involves fixed values only"
                )
        return conjuncts


def parse_restriction(
    text: str, choices: Mapping[str, Sequence[Any]], kinds: Mapping[str, Any] | None = None
) -> Restriction:
    """Return the restriction that a text describes.

    Args:
        text: The expression.
        choices: Possible values of every name; a single one for a fixed value.
        kinds: Types of the fields behind the names. Text must be one of a literal type's values.

    Raises:
        ValueError: If the text is not an expression of the language, contains an unknown name, or
            combines values of different types.
    """
    tree = _expression(text, choices)
    names = _names(tree, text)
    for name in names:
        if name not in choices:
            raise ValueError(unknown("variable", name, choices))
    if not names or not _is_condition(tree):
        raise ValueError(
            f"'{text}' does not compare a variable; write a condition such as a.depth <= b.depth"
        )
    try:
        tree = Typing(text, choices, kinds or {}).checked(tree)[0]
    except TypeError:
        first = {name: choices[name][0] for name in names}
        example = ", ".join(f"{name} = {label(value)!r}" for name, value in first.items())
        raise ValueError(f"'{text}' cannot be evaluated, for example with {example}") from None
    constants = {name: choices[name][0] for name in names if len(choices[name]) == 1}
    variables = tuple(name for name in names if name not in constants)
    restriction = Restriction(text, variables, tree, constants)
    if not variables and not restriction.holds({}):
        raise ValueError(f"'{text}' never holds, because all values in it are fixed")
    return restriction


def names_in(text: str, choices: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names in a restriction, known or not.

    Args:
        text: The expression.
        choices: Mapping from every known name.

    Raises:
        ValueError: If the text is not an expression of the language.
    """
    return _names(_expression(text, choices), text)


def _expression(text: str, choices: Mapping[str, Any]) -> ast.expr:
    """Return the syntax tree of a restriction.

    Raises:
        ValueError: If the text is too long, or not an expression.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"a restriction has {len(text)} characters; allowed: at most {MAX_LENGTH}")
    try:
        return _parse(text, choices)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        remedy = "write one such as a.depth <= b.depth"
        if _UNQUOTED_GROUPS.search(text):
            remedy = "quote kernel groups, as in a.kernels == '3.5.7'"
        raise ValueError(f"'{text}' is not a condition; {remedy}") from None


def _parse(text: str, choices: Mapping[str, Any]) -> ast.expr:
    """Return the syntax tree of a text; stages may be called `class` or `and`."""
    masks: dict[str, str] = {}
    for name in choices:
        if any(map(keyword.iskeyword, name.split("."))) and name not in LANGUAGE:
            mask = f"masked_{len(masks)}_"
            changed = re.sub(rf"(?<![\w.]){re.escape(name)}(?![\w.])", mask, text)
            if changed != text:
                masks[mask], text = name, changed
    tree = ast.parse(text, mode="eval").body
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id = masks.get(node.id, node.id)
    if not _YAML.keys() <= choices.keys():
        tree = _Booleans(choices).visit(tree)
    return tree


class _Booleans(ast.NodeTransformer):
    """Reads YAML's ``true`` and ``false`` unless they name variables."""

    def __init__(self, choices: Mapping[str, Any]) -> None:
        self._choices = choices

    def visit_Name(self, node: ast.Name) -> ast.expr:
        known = node.id in self._choices or node.id not in _YAML
        return node if known else ast.Constant(_YAML[node.id])


def _is_condition(node: ast.expr) -> bool:
    return isinstance(node, (ast.Compare, ast.BoolOp)) or (
        isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
    )


def _names(tree: ast.expr, text: str) -> tuple[str, ...]:
    names: dict[str, None] = {}
    _collect(tree, names, text)
    return tuple(names)


def _collect(node: ast.AST, names: dict[str, None], text: str) -> None:
    """Add the names in an expression to `names`; raise a ValueError for other syntax."""
    if name := dotted(node):
        names[name] = None
        return
    match node:
        case ast.Constant(value=bool() | int() | float() | str()):
            return
        case ast.Call(func=ast.Name(id=function), keywords=[]) if function in _FUNCTIONS:
            children: list[ast.AST] = list(node.args)
        case ast.Compare() if all(type(op) in _BINARY for op in node.ops):
            children = [node.left, *node.comparators]
        case ast.BinOp() if type(node.op) in _BINARY:
            children = [node.left, node.right]
        case ast.BoolOp():
            children = list(node.values)
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            children = [node.operand]
        case _:
            raise ValueError(
                f"'{text}' is not supported; allowed: only comparisons, + - * / // %, and, or, "
                "not, min, max, abs"
            )
    for child in children:
        _collect(child, names, text)


def _evaluator(node: ast.expr) -> Evaluator:
    """Return a function with the value of an expression, given the values of its names.

    Restrictions hold or not for millions of genotypes, and walking the tree for each takes long.
    """
    if name := dotted(node):
        return operator.itemgetter(name)
    match node:
        case ast.Constant():
            constant = node.value
            return lambda values: constant
        case ast.Call(func=ast.Name(id=function)):
            call, parts = _FUNCTIONS[function], [_evaluator(arg) for arg in node.args]
            return lambda values: call(*[part(values) for part in parts])
        case ast.Compare(ops=[single]):
            return _binary(single, node.left, node.comparators[0])
        case ast.Compare():  # a <= b <= c
            terms = [node.left, *node.comparators]
            return _decided(
                [_binary(op, *terms[i : i + 2]) for i, op in enumerate(node.ops)], stop=False
            )
        case ast.BinOp():
            return _binary(node.op, node.left, node.right)
        case ast.BoolOp():
            return _decided(
                [_evaluator(part) for part in node.values], stop=isinstance(node.op, ast.Or)
            )
        case ast.UnaryOp():
            inner = _evaluator(node.operand)
            if isinstance(node.op, ast.Not):
                return lambda values: not inner(values)
            return lambda values: -inner(values)
    raise TypeError(f"unexpected {type(node).__name__}")


def _binary(op: ast.AST, left: ast.expr, right: ast.expr) -> Evaluator:
    function, one, other = _BINARY[type(op)], _evaluator(left), _evaluator(right)
    return lambda values: function(one(values), other(values))


def _decided(parts: list[Evaluator], *, stop: bool) -> Evaluator:
    """Return what evaluates parts up to the one that decides, and has its value, as in Python."""

    def value(values: Mapping[str, Any]) -> Any:
        for part in parts:
            result = part(values)
            if bool(result) == stop:
                break
        return result

    return value
