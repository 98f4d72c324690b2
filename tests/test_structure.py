"""The house keeps its shape: rooms and files of a readable size, one word for one thing."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest
import yaml

import nas
from tests.conftest import ROOT

PACKAGES = ("nas", "analysis")
MOST_MODULES = 16  # in one folder
MOST_LINES = 400  # of one file
MOST_FUNCTION_LINES = 60  # the signature of a command apart
COMMAND_DECORATORS = {"command", "callback"}


def modules() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_no_class_name_stands_for_two_things():
    places = defaultdict(list)
    for path in modules():
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(name_of(path))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_no_folder_holds_too_many_modules():
    counts: defaultdict[str, int] = defaultdict(int)
    for path in modules():
        counts[name_of(path.parent)] += 1
    assert {name: count for name, count in counts.items() if count > MOST_MODULES} == {}


def test_no_file_is_too_long():
    lengths = {name_of(p): len(p.read_text(encoding="utf-8").splitlines()) for p in modules()}
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}


def is_command(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(
        isinstance(decorator, ast.Call)
        and isinstance(decorator.func, ast.Attribute)
        and decorator.func.attr in COMMAND_DECORATORS
        for decorator in node.decorator_list
    )


def test_no_function_is_too_long():
    long = {}
    for path in modules():
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = node.body[0].lineno if is_command(node) else node.lineno
                lines = (node.end_lineno or first) - first + 1
                if lines > MOST_FUNCTION_LINES:
                    long[f"{name_of(path)}:{node.name}"] = lines
    assert long == {}


def mirrors(path: Path) -> list[Path]:
    """Return the test files at the mirrored path of a module."""
    inside = path.relative_to(ROOT)
    folder = Path(*inside.parts[1:-1]) if inside.parts[0] == "nas" else inside.parent
    stem = {"__main__": "command", "__init__": "init"}.get(path.stem, path.stem)
    home = ROOT / "tests" / folder
    return [home / f"test_{stem}.py", *home.glob(f"test_{stem}_*.py")]


def needs_no_test(path: Path) -> bool:
    """Tell whether a module only re-exports names or holds prose."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return not any(isinstance(node, kinds) for node in tree_of(path).body)


def test_every_module_has_its_test_at_the_mirrored_path():
    missing = {
        name_of(path)
        for path in modules()
        if not needs_no_test(path) and not any(mirror.is_file() for mirror in mirrors(path))
    }
    assert missing == set()


@pytest.mark.parametrize(
    "package",
    ["nas.spec", "nas.space", "nas.cost", "nas.scale", "nas.lowering", "nas.formats.onnx"],
)
def test_describing_networks_loads_no_framework(package):
    heavy = ["torch", "optuna", "typer", "rich", "pandas", "ray"]
    if package == "nas.formats.onnx":
        pytest.importorskip("onnx")
    code = f"import sys, {package}; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stdout.strip() == "[]", found.stderr


def test_the_version_to_cite_is_that_of_the_package():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["version"] == nas.__version__


def test_the_floors_hold():
    lint = Path(sys.executable).with_name("lint-imports")
    found = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout
    assert " 0 broken" in found.stdout
