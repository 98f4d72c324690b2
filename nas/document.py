"""YAML and JSON documents whose errors name the file, the line and the remedy."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import types
import typing
from collections.abc import Hashable, Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import TypeAdapter, ValidationError

from nas.errors import DocumentError, reason_of, unknown

T = TypeVar("T")
Location = tuple[Hashable, ...]
Mark = tuple[str, int]
MAX_BYTES = 4_000_000
MAX_PATHS = 50_000
MAX_DEPTH = 50
_FREE_PATHS = 10_000  # that any document may have once its aliases are expanded


@dataclasses.dataclass(frozen=True)
class Document:
    """A parsed document that knows which line everything came from.

    Attributes:
        source: Name of the file, for messages.
        data: Content of the document, as plain Python values.
        lines: File and line (from 1) of every key and list item, by its path.
    """

    source: str
    data: Any
    lines: dict[Location, Mark] = dataclasses.field(default_factory=dict)

    def problem(self, location: Location, message: str) -> str:
        """Return a message with the file, the line and the path of `location` in front."""
        known = location
        while known and known not in self.lines:
            known = known[:-1]
        source, line = self.lines.get(known, (self.source, 0))
        path = format_location(location)
        return f"{source}{f':{line}' if line else ''}: {path + ': ' if path else ''}{message}"

    def fail(self, location: Location, message: str) -> typing.NoReturn:
        """Raise a `DocumentError` about the value at `location`."""
        raise DocumentError(self.problem(location, message))


def plain_document(data: Any) -> Any:
    """Return data as JSON has it: lists for tuples, text for keys and for what JSON cannot say."""
    return json.loads(json.dumps(data, default=str))


def digest(data: Any) -> str:
    """Return a hash of plain data, 16 hexadecimal digits, independent of the order of keys."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def document_name(path: str | os.PathLike[str]) -> str:
    """Return the name of a document's file, without its suffix; ``v1.2`` has none."""
    path = Path(path)
    return path.stem if path.suffix in (".yaml", ".yml", ".json") else path.name


def format_location(location: Location) -> str:
    """Return a path as text, such as ``stages[2].first.kernels``."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def read_document(path: str | os.PathLike[str]) -> Document:
    """Read a YAML or JSON file.

    Raises:
        DocumentError: If the file is missing, too large or not valid YAML, or repeats a key.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:  # its size is not asked for: devices and pipes have none
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise DocumentError(f"{path}: the file is larger than {MAX_BYTES:,} bytes, the maximum")
        text = raw.decode("utf-8-sig")
    except FileNotFoundError:
        raise DocumentError(f"{path}: no such file; give the path of a YAML file") from None
    except (OSError, ValueError) as error:  # no UTF-8, or a name with a NUL
        raise DocumentError(f"{path}: cannot be read ({error})") from None
    return parse_document(text, str(path))


class _DocumentLoader(yaml.SafeLoader):
    """PyYAML's loader of plain values, which refuses deep documents before it recurses further."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._nodes += 1
        if self._depth > MAX_DEPTH or self._nodes > MAX_PATHS:
            problem = f"it has more than {MAX_PATHS:,} values"
            if self._depth > MAX_DEPTH:
                problem = "it is nested too deeply"
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


def parse_document(text: str, source: str) -> Document:
    """Parse YAML text.

    Args:
        text: The text.
        source: Its name in messages.

    Raises:
        DocumentError: If the text is empty or not valid YAML, or repeats a key.
    """
    try:
        loader = _DocumentLoader(text)
        try:
            root = loader.get_single_node()
            if root is None:
                raise DocumentError(f"{source}: the document is empty")
            lines = dict(_lines(root, (), source, min(MAX_PATHS, _FREE_PATHS + len(text))))
            return Document(source, loader.construct_document(root), lines)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{source}:{mark.line + 1}" if mark else source
        problem = str(getattr(error, "problem", None) or error).splitlines()[0]
        raise DocumentError(f"{place}: not valid YAML: {problem}; correct the file") from None
    except DocumentError:
        raise
    except Exception as error:
        # PyYAML's constructors raise all kinds for values such as 2001-99-99 or !!int abc.
        raise DocumentError(
            f"{source}: a value cannot be read ({reason_of(error)}); correct it"
        ) from None


def _lines(
    node: yaml.Node, path: Location, source: str, most: int
) -> Iterator[tuple[Location, Mark]]:
    """Yield every path below a node with its line; values of an alias have their anchor's lines.

    The number of paths is bounded by `most`, because a few lines of nested aliases can expand to
    billions.

    Raises:
        DocumentError: If the document is too large, too deep, or repeats a key.
    """
    remaining = most
    todo: list[tuple[yaml.Node, Location, int]] = [(node, path, node.start_mark.line)]
    while todo:
        node, path, line = todo.pop()
        yield path, (source, line + 1)
        remaining -= 1
        if remaining < 0 or len(path) > MAX_DEPTH:
            raise DocumentError(
                f"{source}:{line + 1}: too large or too deeply nested once aliases are expanded"
            )
        if isinstance(node, yaml.SequenceNode):
            todo += [(item, (*path, i), item.start_mark.line) for i, item in enumerate(node.value)]
        elif isinstance(node, yaml.MappingNode):
            todo += _items(node, path, source)


def _items(
    node: yaml.MappingNode, path: Location, source: str
) -> Iterator[tuple[yaml.Node, Location, int]]:
    """Yield the values of a mapping with their paths and lines.

    Raises:
        DocumentError: If a key appears twice or is not a scalar.
    """
    seen: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line
        merge = key.tag == "tag:yaml.org,2002:merge"
        if not merge and not isinstance(key, yaml.ScalarNode):
            raise DocumentError(f"{source}:{line + 1}: a key must be text, not a list or a mapping")
        if not merge and key.value in seen:
            raise DocumentError(
                f"{source}:{line + 1}: key '{key.value}' appears twice (first on line "
                f"{seen[key.value] + 1}); remove one"
            )
        seen[key.value] = line
        yield value, (*path, key.value), line


def require_keys(document: Document, keys: Iterable[str]) -> None:
    """Refuse a document that lacks some keys, for files that this program always writes in full.

    The type may have defaults for them, but these could differ from the values that were lost.

    Raises:
        DocumentError: If keys are missing.
    """
    known = document.data if isinstance(document.data, dict) else {}
    missing = [key for key in keys if key not in known]
    if missing:
        raise DocumentError(
            f"{document.source}: missing keys: {', '.join(missing)}; restore the file, or start a "
            "new run"
        )


@lru_cache(maxsize=256)
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def validate(kind: type[T] | Any, document: Document, at: Location = (), data: Any = None) -> T:
    """Validate a value of a document and convert it to `kind`.

    Args:
        kind: Any type that pydantic can validate.
        document: Document that the value comes from.
        at: Path of the value in the document.
        data: The value, unless it is the whole document.

    Raises:
        DocumentError: If the value is not valid; one line per problem.
    """
    data = document.data if data is None and not at else data
    try:
        adapter: TypeAdapter[T] = _adapter(kind)  # type: ignore[arg-type]
        return adapter.validate_python(data)
    except ValidationError as error:
        problems = []
        for item in error.errors():
            path, message = _explain(kind, data, item)
            problems.append(document.problem((*at, *path), message))
        raise DocumentError("\n".join(dict.fromkeys(problems))) from None


def _explain(kind: Any, data: Any, item: Any) -> tuple[Location, str]:
    """Return a pydantic error as a path in the document and a message."""
    path: list[Hashable] = []
    value = data
    for part in item["loc"]:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            if part != item["loc"][-1]:
                continue
            value = None
            if item["type"] == "missing":
                return tuple(path), f"'{part}' is missing"
            continue
        path.append(part)
    if item["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return tuple(path), unknown("key", path[-1], _fields_at(kind, item["loc"][:-1]))
    if item["type"] == "union_tag_invalid":
        tag = item["ctx"]["tag"]
        expected = item["ctx"]["expected_tags"].replace("'", "").split(", ")
        return (*path, "op"), unknown("op", tag, expected)
    if item["type"] == "literal_error" and isinstance(value, str):
        expected = [word.strip("' ") for word in _words(item["ctx"]["expected"])]
        return tuple(path), unknown("value", value, expected)
    if item["type"] in ("too_short", "too_long"):
        return tuple(path), _length(item["ctx"])
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "value_error":
        return tuple(path), message
    found = "" if value is None else f"; found {_shown(value)}"
    return tuple(path), f"{message[:1].lower()}{message[1:]}{found}"


def _shown(value: Any) -> str:
    try:
        return repr(value)[:80]
    except ValueError:  # an integer, perhaps a hexadecimal one, that Python does not write out
        return "an integer of thousands of digits"


def _length(context: Mapping[str, Any]) -> str:
    """Return what is wrong with the length of a list or mapping."""
    few = "min_length" in context
    allowed = context["min_length" if few else "max_length"]
    entries = "entry" if allowed == 1 else "entries"
    needed = f"at {'least' if few else 'most'} {allowed} {entries}"
    return f"{needed} should be here; found {context['actual_length'] or 'none'}"


def _words(expected: str) -> list[str]:
    return expected.replace(" or ", ", ").split(", ")


def _fields_at(kind: Any, location: Location) -> list[str]:
    """Return the names of the fields allowed at a pydantic location."""
    for part in location:
        kind = _strip(kind)
        options = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else ()
        if options:
            kind = next((o for o in map(_strip, options) if _tag(o) == part), options[0])
        elif get_origin(kind) in (tuple, list):
            kind = get_args(kind)[0]
        elif get_origin(kind) is dict:
            kind = get_args(kind)[1]
        else:
            kind = typing.get_type_hints(kind, include_extras=True).get(str(part), kind)
    kind = _strip(kind)
    return list(typing.get_type_hints(kind)) if isinstance(kind, type) else []


def _strip(kind: Any) -> Any:
    return _strip(get_args(kind)[0]) if get_origin(kind) is Annotated else kind


def _tag(kind: Any) -> str | None:
    tag = typing.get_type_hints(kind).get("op") if isinstance(kind, type) else None
    return get_args(tag)[0] if tag else None
