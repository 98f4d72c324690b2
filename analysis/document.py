"""Guarded reading of YAML and JSON files that may come from anybody.

A file of a few hundred bytes can describe billions of values by nested aliases, and a few thousand
brackets exceed Python's stack. What is read here is bounded in size and depth, holds no object but
plain data, and no text that could control a terminal (see `analysis.printable`).
"""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import yaml

from analysis.errors import AnalysisError
from analysis.printable import printable

MOST_BYTES = 4_000_000
"""Largest file that is read unless a reader allows more, in bytes."""
MOST_VALUES = 500_000
"""Number of values of a document at most, once aliases are expanded."""
MOST_LEVELS = 50
"""Number of levels of nested lists and mappings at most."""
LARGEST_INTEGER = 10**100
"""Bound of the absolute value of integers; larger ones cannot be computed with as floats."""


def read_yaml(path: Path) -> Any:
    """Read a YAML file as plain data; None if it is empty.

    Raises:
        FileNotFoundError, NotADirectoryError: If there is no such file.
        AnalysisError: If it cannot be read, is not valid YAML, or exceeds a bound of this module.
    """
    text = read_text(path)
    try:
        loader = yaml.SafeLoader(text)
        try:
            root = loader.get_single_node()
            if root is None:
                return None
            _check_nodes(root, path)
            return plain_data(loader.construct_document(root), path)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or reason(error)
        raise AnalysisError(f"{path} cannot be read: {line}{printable(str(problem))}") from None
    except RecursionError:
        raise _too_deep(path) from None
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        # PyYAML's constructors raise these for values such as 2001-99-99 or !!int abc.
        raise AnalysisError(f"{path} cannot be read: {reason(error)}") from None


def read_json(path: Path, most: int = MOST_BYTES) -> Any:
    """Read a JSON file as plain data.

    Args:
        path: The file.
        most: Largest size of the file, in bytes.

    Raises:
        FileNotFoundError, NotADirectoryError: If there is no such file.
        AnalysisError: If it cannot be read, is not valid JSON, or exceeds a bound.
    """
    text = read_text(path, most)
    try:
        return plain_data(json.loads(text), path)
    except RecursionError:
        raise _too_deep(path) from None
    except ValueError as error:
        raise AnalysisError(f"{path} cannot be read: it is not valid JSON: {error}") from None


def read_text(path: Path, most: int = MOST_BYTES) -> str:
    """Read a text file in UTF-8.

    Raises:
        FileNotFoundError, NotADirectoryError: If there is no such file.
        AnalysisError: If it is too large, is not a regular file, or cannot be read.
    """
    try:
        check_regular(path)
        with path.open("rb") as file:
            data = file.read(most + 1)
        if len(data) > most:
            raise AnalysisError(f"{path} cannot be read: it has more than {most:,} bytes")
        return data.decode("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise AnalysisError(f"{path} cannot be read: {reason(error)}") from None


def check_regular(path: Path) -> None:
    """Refuse folders, and pipes and devices, reading from which may never end.

    Raises:
        FileNotFoundError, NotADirectoryError: If there is no such file.
        AnalysisError: If it is not a regular file.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise AnalysisError(f"{path} cannot be read: it is not a file")


def reason(error: BaseException) -> str:
    """Return what an error says, in one line; its name if it says nothing."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    first = str(error).strip().partition("\n")[0]
    if "integer string conversion" in first:  # Python goes on about its own settings
        return "an integer has thousands of digits"
    return printable(first[:200]) or type(error).__name__


def plain_data(value: Any, path: Path, level: int = 0) -> Any:
    """Return data with printable text and keys; anything but plain data becomes text.

    Raises:
        AnalysisError: If the data are nested too deeply, or an integer is too large.
    """
    if level > MOST_LEVELS:
        raise _too_deep(path)
    if isinstance(value, dict):
        return {
            printable(str(key)): plain_data(item, path, level + 1) for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [plain_data(item, path, level + 1) for item in value]
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        if abs(value) >= LARGEST_INTEGER:
            raise AnalysisError(f"{path} cannot be read: it has an integer of over 100 digits")
        return value
    return printable(value if isinstance(value, str) else str(value))


def _check_nodes(root: yaml.Node, path: Path) -> None:
    """Refuse a document that is too large or too deep once its aliases are expanded."""
    left = MOST_VALUES
    todo: list[tuple[yaml.Node, int]] = [(root, 0)]
    while todo:
        node, level = todo.pop()
        left -= 1
        if left < 0:
            raise AnalysisError(
                f"{path} cannot be read: it has more than {MOST_VALUES:,} values, once its "
                "aliases are expanded"
            )
        if level > MOST_LEVELS:
            raise _too_deep(path)
        if isinstance(node, yaml.SequenceNode):
            todo += [(item, level + 1) for item in node.value]
        elif isinstance(node, yaml.MappingNode):
            todo += [(item, level + 1) for pair in node.value for item in pair]


def _too_deep(path: Path) -> AnalysisError:
    return AnalysisError(f"{path} cannot be read: it is nested more than {MOST_LEVELS} levels deep")
