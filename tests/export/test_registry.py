"""The formats that networks are exported to."""

import importlib.util
import inspect
from pathlib import Path

import pytest

from nas.errors import MixnasError
from nas.export.registry import FORMATS, Format, find_format, format_lines
from nas.imports import _EXTRAS

PAIR = Format((".cfg", ".weights"), "nas.export.writers.onnx_file", "two files")


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_has_a_writer_and_an_extra_that_can_be_installed(name):
    found = FORMATS[name]
    assert found.extra is None or found.extra in _EXTRAS
    packages = _EXTRAS[found.extra] if found.extra else ()
    if any(importlib.util.find_spec(package) is None for package in packages):
        pytest.skip(f"{found.extra} is not installed")
    assert list(inspect.signature(found.writer()).parameters) == ["export", "path"]


def test_the_files_of_a_format_share_a_name():
    assert PAIR.files(Path("a/net.cfg")) == (Path("a/net.cfg"), Path("a/net.weights"))
    assert PAIR.files(Path("v1.2.cfg")) == (Path("v1.2.cfg"), Path("v1.2.weights"))
    assert FORMATS["onnx"].files(Path("net")) == (Path("net"),)
    for name in ("net", "net.weights"):
        with pytest.raises(
            MixnasError, match=rf"^{name}: several files .*; let the name end in .cf"
        ):
            PAIR.files(Path(name))


def test_an_unknown_format_is_named_with_those_there_are():
    with pytest.raises(MixnasError, match=r"unknown format 'onx' \(did you mean 'onnx'\?\); al"):
        find_format("onx")


def test_every_format_has_a_line():
    lines = format_lines().splitlines()
    assert [line.split()[0] for line in lines] == list(FORMATS)
    assert lines[list(FORMATS).index("tflite")].endswith("boards (needs mixnas[litert])")
    assert max(map(len, lines)) <= 98  # the help shows them indented, unbroken
