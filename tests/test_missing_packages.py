import subprocess
import sys

import pytest

from nas.imports import missing_package

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
        "error: the package 'fastapi' is not installed; what a machine that only measures needs "
        "comes with pip install 'mixnas[agent]'\n"
    )


def test_a_command_of_ours_that_is_broken_says_so_in_full():
    code = RUN.format(package="no_package_of_ours")
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 1
    assert "Traceback" in result.stderr
