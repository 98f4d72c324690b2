import os
import subprocess
import sys

import pytest

from nas.errors import MixnasError
from nas.imports import (
    extra_of,
    looks_like_import,
    missing_package,
    named_object,
    own_packages_first,
    refuse_shadow,
    require,
    set_library_defaults,
    waiting_as_usual,
)
from nas.space import space_names
from tests.conftest import ROOT


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
    module("of_mine", "def answer():\n    return 42\n")
    assert named_object("of_mine:answer", "sampler")() == 42


def test_what_cannot_be_called_is_told(module):
    module("of_mine_too", "answer = 42\n")
    with pytest.raises(MixnasError, match="'answer' is int; name a class or a function"):
        named_object("of_mine_too:answer", "sampler")


def test_a_package_that_is_needed_later_is_looked_for():
    require("numpy")
    with pytest.raises(ModuleNotFoundError) as caught:
        require("no_such_package")
    assert caught.value.name == "no_such_package"
    assert (extra_of("nncf"), extra_of("no_such_package")) == ("int8", None)


WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


def waiting():
    return tuple(os.environ.get(name) for name in WAITING)


@pytest.mark.parametrize("given", [(None, None), ("ACTIVE", None), (None, "5")])
def test_a_runtime_waits_as_in_an_application(monkeypatch, given):
    monkeypatch.delenv("MIXNAS_WAIT_POLICY", raising=False)
    for name, value in zip(WAITING, given, strict=True):
        monkeypatch.setenv(name, value or "")
        if value is None:
            monkeypatch.delenv(name)
    set_library_defaults()
    ours = waiting()
    assert ours == (given if any(given) else ("PASSIVE", "1000"))
    with waiting_as_usual():
        assert waiting() == given
    assert waiting() == ours
    with monkeypatch.context() as child:  # which inherits them
        child.setattr(os, "environ", dict(os.environ))
        set_library_defaults()
        with waiting_as_usual():
            assert waiting() == given


@pytest.fixture
def crowded(tmp_path):
    """Make folders that are called as our packages are, and one with a module of the user's."""
    for name in ("analysis", "search_spaces"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('not ours')\n")
    return tmp_path


@pytest.mark.parametrize("regular", [True, False], ids=["packages", "folders"])
def test_our_packages_are_found_whatever_the_folder_holds(command, crowded, regular):
    if not regular:
        for name in ("analysis", "search_spaces"):
            (crowded / name / "__init__.py").unlink()
    listed = command("nas.space", "list")
    assert listed.returncode == 0, listed.stderr
    assert "mixnas" not in listed.stderr
    assert "mnasnet" in listed.stdout
    code = (
        "import sys, pathlib; from nas.imports import own_packages_first; own_packages_first();"
        "import analysis, analysis.report.page, nas.space.loader as l;"
        "print(pathlib.Path(analysis.__file__).parent, len(l.space_names()))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=crowded, capture_output=True, text=True
    )  # `-c` searches the working directory first, as `-m` does
    assert found.stdout.split() == [str(ROOT / "analysis"), str(len(space_names()))], found.stderr


def test_our_packages_stay_the_same_modules():
    import analysis.units

    own_packages_first()
    assert sys.modules["analysis.units"] is analysis.units


def test_a_folder_that_hides_this_package_is_named(tmp_path, monkeypatch):
    refuse_shadow(tmp_path)
    refuse_shadow(ROOT)
    (tmp_path / "nas").mkdir()
    (tmp_path / "nas" / "__init__.py").write_text("")
    with pytest.raises(
        MixnasError, match=r"nas takes the place of the package 'nas' of mixnas; re"
    ):
        refuse_shadow(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        sys, "path", [entry for entry in sys.path if entry not in ("", str(tmp_path))]
    )
    with pytest.raises(MixnasError, match="rename it, or run the command in another folder"):
        named_object("of_mine:answer", "sampler")


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
    ("name", "extra"),
    [
        ("torch", "search"),
        ("httpx", "search"),
        ("onnx", "onnxruntime"),
        ("onnxruntime.capi", "onnxruntime"),
        ("uvicorn", "agent"),
        ("ai_edge_litert", "litert"),
        ("openvino", "openvino"),
        ("ncnn", "ncnn"),
    ],
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


def test_no_command_leaves_telemetry_of_onnxruntime(tmp_path):
    """It would write below the user's cache as soon as it is imported."""
    kept = {k: v for k, v in os.environ.items() if k not in ("ORT_DISABLE_TELEMETRY", "CI")}
    code = COMMANDS.replace("torch.ones(3)", "import onnxruntime")
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**kept, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not [path for path in tmp_path.rglob("*") if "onnxruntime" in path.name]


@pytest.mark.parametrize("package", ["openvino", "openvino, nncf"])
def test_no_command_leaves_telemetry_of_openvino(tmp_path, package):
    """It would write into the user's home, and to its makers, as soon as it is imported."""
    kept = {k: v for k, v in os.environ.items() if k != "CI"}
    code = f"from nas.imports import set_library_defaults as quiet; quiet(); import {package}"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**kept, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "intel").exists()


COMMANDS = """
import sys
import nas.cost.__main__, nas.device, nas.export.__main__, nas.measure.__main__, nas.rank.__main__
import nas.search.__main__, nas.space.__main__, nas.train.__main__
assert "torch" not in sys.modules

import os
import typer
from nas import cli

app = typer.Typer()

@app.command()
def command():
    import torch

    torch.ones(3)

cli.run(app)
"""


def test_the_threads_of_every_command_sleep():
    """OpenMP reads how to wait when torch is loaded, and tells it on request."""
    ours = ("OMP_", "GOMP_", "MIXNAS_WAIT_POLICY")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS],
        env={**kept, "OMP_DISPLAY_ENV": "TRUE"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if "OMP_WAIT_POLICY" not in done.stderr:
        pytest.skip("this OpenMP does not tell its settings")
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in done.stderr


def test_ctrl_c_after_openvino_is_no_crash():
    """Plugins of two cores free the stack of the signal handlers that the other one restores."""
    code = (
        "import gc, signal\n"
        "from nas.latency.conditions import MeasurementSettings\n"
        "from nas.latency.runtimes import open_runtime\n"
        "settings = MeasurementSettings(threads=1)\n"
        "opened = [open_runtime('openvino:cpu', settings) for _ in range(3)]\n"
        "while opened:\n"
        "    opened.pop(0)\n"
        "    gc.collect()\n"
        "try:\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()[-11:]) == (0, "interrupted")
