import subprocess
import sys

import pytest

from nas.errors import MixnasError
from nas.imports import looks_like_import, missing_package, named_object


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module into the current folder; returns its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    written = []

    def write(name, text):
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
        written.append(name)

    yield write
    for name in written:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", ["module:Name", "a.b_c.d:make", "_m1:f"])
def test_import_paths_are_told(name):
    assert looks_like_import(name)


@pytest.mark.parametrize(
    "name",
    ["tpe", "known-cost", "a.b", "host:8000", "http://host:80/x", "a:b:c", ":f", "m:", "a..b:f",
     "my-module:f", "C:/folder/file", "onnxruntime:cpu-1", ""],
)  # fmt: skip
def test_names_and_addresses_are_no_import_paths(name):
    assert not looks_like_import(name)


def test_an_object_is_imported():
    assert named_object("nas.errors:MixnasError", "sampler") is MixnasError


def test_the_current_folder_is_looked_in(module):
    module("of_mine", "answer = 42\n")
    assert named_object("of_mine:answer", "sampler") == 42


@pytest.mark.parametrize(
    ("text", "attribute", "words"),
    [
        ("x = 1", "y", "sampler of_theirs:y: module 'of_theirs' has no 'y'"),
        ("import not_there_at_all", "x", "there is no module 'not_there_at_all' to import"),
        ("1 / 0", "x", "importing it raised ZeroDivisionError: division by zero"),
        ("def f(:", "f", "importing it raised SyntaxError"),
        ("import os\nos.nothing_such", "x", "importing it raised AttributeError: .*nothing_such"),
    ],
)
def test_what_cannot_be_imported_is_told(module, text, attribute, words):
    module("of_theirs", text)
    with pytest.raises(MixnasError, match=words):
        named_object(f"of_theirs:{attribute}", "sampler")


def test_missing_modules_are_named():
    with pytest.raises(MixnasError, match="device nowhere:f: there is no module 'nowhere'"):
        named_object("nowhere:f", "device")
    with pytest.raises(MixnasError, match=r"no module 'nas\.nowhere'"):
        named_object("nas.nowhere:f", "device")


RUN = """
import sys
from nas import cli

sys.modules["{package}"] = None  # as if it were not installed
app = cli.new_app("A command.")

@app.command()
def command() -> None:
    import {package}

cli.run(app)
"""


@pytest.mark.parametrize(
    ("name", "extra"), [("torch", "search"), ("httpx", "search"), ("onnxruntime.capi", "agent")]
)
def test_packages_of_extras_are_known(name, extra):
    message = missing_package(ModuleNotFoundError(name=name))
    assert message is not None
    assert f"pip install 'mixnas[{extra}]'" in message


def test_other_packages_are_not():
    assert missing_package(ModuleNotFoundError(name="nas.nothing")) is None
    assert missing_package(ModuleNotFoundError()) is None


def test_a_command_without_its_packages_ends_with_one_line():
    code = RUN.format(package="fastapi")
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        "error: the package 'fastapi' is not installed; install it with "
        "pip install 'mixnas[agent]'\n"
    )


def test_a_command_of_ours_that_is_broken_says_so_in_full():
    code = RUN.format(package="no_package_of_ours")
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 1
    assert "Traceback" in result.stderr
