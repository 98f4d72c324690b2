"""The types of expressions in restrictions: numbers, text and mixes of kernels.

A comparison between different types would be true or false whatever the values, so it is refused.
"""

from __future__ import annotations

import ast
import typing
from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, Union

from pydantic import TypeAdapter, ValidationError

from nas.blocks.fields import OptionalKernels
from nas.errors import unknown

Type = Literal["number", "text", "kernels", "mixed"]
_WORDS: dict[Type, str] = {
    "number": "a number",
    "text": "text",
    "kernels": "a mix of kernels",
    "mixed": "values of several types",
}


def type_of(value: Any) -> Type:
    """Return the type of a value; true and false are numbers, as in Python."""
    if isinstance(value, tuple):
        return "kernels"
    return "text" if isinstance(value, str) else "number"


def type_of_all(values: Sequence[Any]) -> Type:
    """Return the type of some values; ``mixed`` if they have several, such as true and text."""
    found = {type_of(value) for value in values}
    return found.pop() if len(found) == 1 else "mixed"


class Typing:
    """Checks the types in one restriction, and reads its mixes of kernels."""

    def __init__(
        self, text: str, choices: Mapping[str, Sequence[Any]], kinds: Mapping[str, Any]
    ) -> None:
        """Begin.

        Args:
            text: The restriction, for messages.
            choices: Possible values of every name.
            kinds: Types of the fields behind the names, as far as they are known.
        """
        self._text = text
        self._choices = choices
        self._kinds = kinds

    def checked(self, node: ast.expr) -> tuple[ast.expr, Type]:
        """Return an expression with its mixes of kernels read, and its type.

        Raises:
            ValueError: If different types are compared, or a value cannot be one of the field's.
            TypeError: If an operation does not exist for the types.
        """
        match node:
            case ast.Constant():
                return node, type_of(node.value)
            case ast.Call():
                return self._call(node)
            case ast.Compare():
                return self._comparison(node)
            case ast.BinOp():
                left, right = self._number(node.left), self._number(node.right)
                return ast.BinOp(left, node.op, right), "number"
            case ast.BoolOp():
                parts = [self.checked(part) for part in node.values]
                types = {kind for _, kind in parts}
                if len(types) > 1:
                    raise TypeError("the value could have different types")
                return ast.BoolOp(node.op, [part for part, _ in parts]), parts[0][1]
            case ast.UnaryOp(op=ast.Not()):
                return ast.UnaryOp(node.op, self.checked(node.operand)[0]), "number"
            case ast.UnaryOp():
                return ast.UnaryOp(node.op, self._number(node.operand)), "number"
            case _:
                return node, type_of_all(self._choices[dotted(node)])

    def _number(self, node: ast.expr) -> ast.expr:
        checked, kind = self.checked(node)
        if kind != "number":
            raise TypeError("arithmetic needs numbers")  # text * number could be huge
        return checked

    def _call(self, node: ast.Call) -> tuple[ast.expr, Type]:
        assert isinstance(node.func, ast.Name)
        parts = [self.checked(part) for part in node.args]
        types = [kind for _, kind in parts]
        call = ast.Call(node.func, [part for part, _ in parts], [])
        if node.func.id == "abs" and types == ["number"]:
            return call, "number"
        if node.func.id != "abs" and types == ["kernels"]:
            return call, "number"
        if (
            node.func.id != "abs"
            and len(types) > 1
            and len(set(types)) == 1
            and types[0] != "mixed"
        ):
            return call, types[0]
        raise TypeError(f"{node.func.id} of other values")

    def _comparison(self, node: ast.Compare) -> tuple[ast.expr, Type]:
        parts = [self.checked(part) for part in (node.left, *node.comparators)]
        for i, op in enumerate(node.ops):
            equality = isinstance(op, (ast.Eq, ast.NotEq))
            for one, other in ((i, i + 1), (i + 1, i)):
                if equality:
                    parts[other] = self._read(parts[one], parts[other])
            (_, left), (_, right) = parts[i], parts[i + 1]
            if not equality and (left != right or left == "mixed"):
                raise TypeError("values of different types have no order")
            if left != right and "mixed" not in (left, right):
                raise ValueError(
                    f"'{self._text}' compares {_WORDS[left]} with {_WORDS[right]}, which are never "
                    "equal; compare values of the same type"
                )
        terms = [part for part, _ in parts]
        return ast.Compare(terms[0], node.ops, terms[1:]), "number"

    def _read(self, one: tuple[ast.expr, Type], other: tuple[ast.expr, Type]) -> Any:
        """Return a literal that is compared with `one`, read as a value of the same field."""
        node = other[0]
        if not isinstance(node, ast.Constant) or isinstance(node.value, tuple):
            return other
        if one[1] == "kernels":
            try:
                mix: Any = TypeAdapter(OptionalKernels).validate_python(node.value)
            except ValidationError as error:
                reason = error.errors()[0]["msg"].removeprefix("Value error, ")
                raise ValueError(f"'{self._text}': {reason}") from None
            return ast.Constant(mix), "kernels"
        name = dotted(one[0])
        kind = self._kinds.get(name) if name else None
        allowed = _texts(kind)
        texts = one[1] in ("text", "mixed") and other[1] == "text"
        if allowed and texts and node.value not in allowed:
            raise ValueError(f"'{self._text}': {unknown('value', node.value, allowed)}")
        return other


def _texts(kind: Any) -> tuple[Any, ...]:
    """Return the texts that a field of a type can have, if these are all that the type tells."""
    if typing.get_origin(kind) is Annotated:
        return _texts(typing.get_args(kind)[0])
    if typing.get_origin(kind) is Literal:
        return typing.get_args(kind)
    if typing.get_origin(kind) in (Union, UnionType):
        return tuple(text for part in typing.get_args(kind) for text in _texts(part))
    return ()


def dotted(node: ast.AST) -> str:
    """Return the dotted name that a node stands for; empty if it is not a name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and dotted(node.value):
        return f"{dotted(node.value)}.{node.attr}"
    return ""
