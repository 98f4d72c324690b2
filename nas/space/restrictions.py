"""Restrictions between variables: ``s1.channels <= s2.channels``, ``s1.depth + s2.depth <= 8``.

An expression is Python's syntax for comparisons, arithmetic, and/or/not, min and max, over the
names of variables, and is evaluated by walking it, never by Python itself.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from nas.errors import unknown

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
_FUNCTIONS: dict[str, Callable[..., Any]] = {"min": min, "max": max, "abs": abs}


@dataclass(frozen=True)
class Restriction:
    """A condition on the values of some variables.

    Attributes:
        text: as written.
        names: the variables it reads.
        tree: the parsed expression.
    """

    text: str
    names: tuple[str, ...]
    tree: ast.expr

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Whether the condition holds for values by variable name."""
        return bool(_evaluate(self.tree, values))

    def conjuncts(self) -> list[Restriction]:
        """Return the smallest conditions that all must hold: a <= b <= c is a <= b and b <= c."""
        if isinstance(self.tree, ast.BoolOp) and isinstance(self.tree.op, ast.And):
            parts: list[ast.expr] = list(self.tree.values)
        elif isinstance(self.tree, ast.Compare) and len(self.tree.ops) > 1:
            terms = [self.tree.left, *self.tree.comparators]
            parts = [
                ast.Compare(left, [op], [right])
                for left, op, right in zip(terms, self.tree.ops, terms[1:], strict=False)
            ]
        else:
            return [self]
        return [one for part in parts for one in _restriction(part, self.text).conjuncts()]


def parse_restriction(text: str, allowed: Collection[str]) -> Restriction:
    """Read a restriction over variables named in `allowed`.

    Raises:
        ValueError: when it is no expression of the small language, or names something unknown.
    """
    try:
        tree = ast.parse(str(text), mode="eval").body
    except SyntaxError:
        raise ValueError(f"'{text}' is not a condition; write it as a.depth <= b.depth") from None
    restriction = _restriction(tree, str(text))
    for name in restriction.names:
        if name not in allowed:
            raise ValueError(unknown("variable", name, allowed))
    if not isinstance(tree, (ast.Compare, ast.BoolOp, ast.UnaryOp)):
        raise ValueError(f"'{text}' compares nothing; write it as a.depth <= b.depth")
    return restriction


def _restriction(tree: ast.expr, text: str) -> Restriction:
    names: dict[str, None] = {}
    _collect(tree, names, text)
    return Restriction(text, tuple(names), tree)


def _name(node: ast.AST) -> str | None:
    """Return the dotted name of a variable, or None."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        prefix = _name(node.value)
        return None if prefix is None else f"{prefix}.{node.attr}"
    return None


def _collect(node: ast.AST, names: dict[str, None], text: str) -> None:
    """Gather the names of an expression and refuse what is not of the language."""
    name = _name(node)
    if name is not None:
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
                f"'{text}': only comparisons, + - * / // %, and, or, not, min, max, abs"
            )
    for child in children:
        _collect(child, names, text)


def _evaluate(node: ast.expr, values: Mapping[str, Any]) -> Any:
    name = _name(node)
    if name is not None:
        return values[name]
    match node:
        case ast.Constant():
            return node.value
        case ast.Call(func=ast.Name(id=function)):
            return _FUNCTIONS[function](*(_evaluate(arg, values) for arg in node.args))
        case ast.Compare():
            terms = [_evaluate(term, values) for term in (node.left, *node.comparators)]
            pairs = zip(terms, node.ops, terms[1:], strict=False)
            return all(_BINARY[type(op)](left, right) for left, op, right in pairs)
        case ast.BinOp():
            left, right = _evaluate(node.left, values), _evaluate(node.right, values)
            return _BINARY[type(node.op)](left, right)
        case ast.BoolOp():
            results = (_evaluate(value, values) for value in node.values)
            return all(results) if isinstance(node.op, ast.And) else any(results)
        case ast.UnaryOp():
            value = _evaluate(node.operand, values)
            return not value if isinstance(node.op, ast.Not) else -value
    raise TypeError(f"unexpected {type(node).__name__}")
