"""Every public name has a docstring and its place in the reference, and the examples there run."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import ROOT

PAGES = sorted((ROOT / "docs" / "reference" / "api").glob("*.md"))
SHOWN = [
    place
    for page in PAGES
    for place in re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
]
UTILITIES = {"cli", "defaults", "document", "files", "imports", "machine", "progress"}
"""Shared by our own packages, and not meant for others."""
WITH_EXAMPLES = [
    path for path in sorted((ROOT / "nas").rglob("*.py")) if ">>> " in path.read_text("utf-8")
]


def source_of(module: str) -> Path | None:
    inside = ROOT.joinpath(*module.split("."))
    found = [path for path in (inside.with_suffix(".py"), inside / "__init__.py") if path.is_file()]
    return found[0] if found else None


@cache
def body_of(module: str) -> list[ast.stmt]:
    source = source_of(module)
    assert source is not None, module
    return ast.parse(source.read_text(encoding="utf-8")).body


def name_of(node: ast.stmt) -> str | None:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return node.name
    target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
    return target.id if isinstance(target, ast.Name) else None


def public_names(module: str) -> list[str]:
    """Return what ``__all__`` lists, or else the public names that a module defines itself."""
    for node in body_of(module):
        if isinstance(node, ast.Assign) and name_of(node) == "__all__":
            return ast.literal_eval(node.value)
    return [name for node in body_of(module) if (name := name_of(node)) and name[0] != "_"]


def docstring(module: str, name: str) -> str | None:
    """Return the docstring of a name, which may come from another module."""
    body = body_of(module)
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return docstring(node.module, alias.name)
        elif name_of(node) == name:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                return ast.get_docstring(node)
            holds = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            return str(after.value.value) if holds else None  # type: ignore[union-attr]
    return None


def is_module(place: str) -> bool:
    return source_of(place) is not None


def rooms_of_nas() -> set[str]:
    """Return the modules and packages of nas, but not what lies in a package."""
    names = {path.stem for path in (ROOT / "nas").iterdir() if path.stem[0] not in "_."}
    return {name for name in names if source_of(f"nas.{name}")}


def test_every_room_is_in_the_reference_or_a_command_or_a_utility():
    shown = {place.split(".")[1] for place in SHOWN if place.startswith("nas.")}
    commands = {path.stem for path in (ROOT / "docs/reference/commands").glob("*.md")}
    assert rooms_of_nas() - shown - commands == UTILITIES
    assert shown & UTILITIES == set()
    assert len(SHOWN) == len(set(SHOWN))


def test_every_package_that_exports_names_is_shown_whole():
    exporting = {
        f"nas.{name}"
        for name in rooms_of_nas()
        if any(name_of(node) == "__all__" for node in body_of(f"nas.{name}"))
    }
    assert exporting - set(SHOWN) == set()


def test_the_index_names_what_the_reference_shows():
    index = (ROOT / "docs/reference/index.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:nas|analysis)\.[\w.]+)`", index))
    assert named <= {place for place in SHOWN if is_module(place)} | {
        "nas.formats",
        "nas.train.recipe",
    }
    rooms = {".".join(place.split(".")[:2]) for place in SHOWN}
    assert {".".join(name.split(".")[:2]) for name in named} == rooms


def test_every_public_name_has_a_docstring():
    names = [(module, name) for module in SHOWN if is_module(module)
             for name in public_names(module)]  # fmt: skip
    assert len(names) > 200
    assert [f"{m}.{n}" for m, n in names if not docstring(m, n)] == []


def test_a_function_that_shares_its_name_with_a_module_is_shown_by_itself():
    shared = {
        f"{module}.{name}.{name}"
        for module in SHOWN
        if is_module(module)
        for name in public_names(module)
        if is_module(f"{module}.{name}")
    }
    assert shared - set(SHOWN) == set()


def test_the_most_public_functions_have_examples():
    found = {path.relative_to(ROOT).as_posix() for path in WITH_EXAMPLES}
    assert found >= {
        "nas/spec.py",
        "nas/cost/count.py",
        "nas/space/space.py",
        "nas/space/sampling/drawing.py",
        "nas/lowering/rewrite.py",
        "nas/samplers/known_cost/sampler.py",
    }


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_examples_in_docstrings_run(path):
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert result.attempted > 0
    assert result.failed == 0
