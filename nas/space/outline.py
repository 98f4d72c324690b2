"""The outline of a space document: its keys, and the types of the fields in it."""

from __future__ import annotations

import typing
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from nas.blocks import BLOCKS, FIELDS
from nas.blocks.fields import Channels
from nas.document import Document, validate
from nas.errors import DocumentError, LimitError
from nas.ir import Padding
from nas.limits import parse_limit
from nas.space.loader import SCHEMA
from nas.space.restrictions import names_in
from nas.spec import Norm

Depth = Annotated[int, Field(ge=1, le=64)]
Op = typing.Literal[tuple(BLOCKS)]  # type: ignore[valid-type]
RESERVED = ("stem", "head", "input", "derive")
STAGE_KEYS = ("op", "stride", "depth", "channels", "first", "rest", "each", "continues")
PLACEHOLDERS: dict[str, Any] = {"op": "mbconv", "depth": 1, "channels": 8}
"""Values that take the place of invalid ones, so that the other mistakes are found as well."""

KINDS: dict[str, Any] = {"op": Op, "depth": Depth, "channels": Channels}
"""Type of every field of a stage and of its blocks."""

_HINTS: dict[str, dict[str, Any]] = {
    op: typing.get_type_hints(block, include_extras=True) for op, block in BLOCKS.items()
}
for _op, _hints in _HINTS.items():
    for _name, _hint in _hints.items():
        if _name in FIELDS[_op]:
            KINDS.setdefault(_name, _hint)
BLOCK_FIELDS = tuple(key for key in KINDS if key not in ("op", "depth", "channels", "stride"))


def kind_of(name: str, families: Iterable[str]) -> Any:
    """Return the type of a field, as the first of some block families that has it gives it."""
    return next((_HINTS[op][name] for op in families if name in FIELDS[op]), KINDS[name])


def _as_text(value: Any) -> Any:
    """Accept ``400000000`` for ``"400000000"``."""
    return str(value) if isinstance(value, (int, float)) else value


class SpaceDocument(BaseModel):
    """A space document whose expressions are not parsed yet; see `nas.space.choices`."""

    model_config = ConfigDict(extra="forbid")

    schema_: str = Field(SCHEMA, alias="schema")
    name: str = ""
    description: str = ""
    source: str = ""
    base: str | None = None
    input: dict[str, Any] = {}
    num_classes: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    padding: Padding = "symmetric"
    norm: Norm = Norm()
    variables: dict[str, Any] = {}
    stem: dict[str, Any]
    defaults: dict[str, Any] = {}
    stages: Annotated[dict[str, dict[str, Any]], Field(min_length=1)]
    head: dict[str, Any] = {}
    derive: dict[str, Any] | None = None
    restrictions: list[str] = []
    limits: dict[str, Annotated[str, BeforeValidator(_as_text)]] = {}


def read_outline(document: Document) -> tuple[SpaceDocument | None, list[str]]:
    """Return the outline of a document without its invalid parts, and the mistakes in it.

    Restrictions keep their places: empty text stands for those that are no text. The outline is
    None if nothing more can be checked.
    """
    try:
        return validate(SpaceDocument, document), []
    except DocumentError as error:
        problems = str(error).splitlines()
    if not isinstance(document.data, dict):
        return None, problems
    valid = {}
    for key, value in document.data.items():
        if isinstance(value, dict):
            value = {k: part for k, part in value.items() if _is_valid({key: {k: part}})}
        if isinstance(value, list):
            value = [part if _is_valid({key: [part]}) else "" for part in value]
        if _is_valid({key: value}):
            valid[key] = value
    if "stages" not in valid:
        return None, problems
    valid.setdefault("stem", {})
    return SpaceDocument.model_validate(valid), problems


def _is_valid(part: dict[str, Any]) -> bool:
    """Return whether a part of a document has the right form."""
    try:
        SpaceDocument.model_validate({"stem": {}, "stages": {"s": {}}, **part})
    except ValidationError:
        return False
    return True


def other_problems(document: Document) -> list[str]:
    """Return the mistakes in restrictions and limits that can be seen without stages."""
    data = document.data if isinstance(document.data, dict) else {}
    texts, limits = data.get("restrictions"), data.get("limits")
    problems = []
    for i, text in enumerate(texts if isinstance(texts, list) else ()):
        try:
            if isinstance(text, str):
                names_in(text, {})
        except ValueError as error:
            problems.append(document.problem(("restrictions", i), str(error)))
    for metric, text in (limits if isinstance(limits, dict) else {}).items():
        try:
            if isinstance(text, str | int | float):
                parse_limit(metric, str(text))
        except LimitError as error:
            problems.append(document.problem(("limits", metric), str(error)))
    return problems
