"""``mixnas COMMAND``: all commands under one name."""

import importlib
import json
import os
import subprocess
import sys
import tomllib

import pytest
import typer

from nas.__main__ import COMMANDS
from tests.conftest import ROOT

CALL = "import sys; sys.argv[0] = '/somewhere/bin/mixnas'; from nas.__main__ import main; main()"


def mixnas(*words, loaded=False, **variables):
    """Run the console script, with further environment variables."""
    return subprocess.run(
        [sys.executable, *(["-X", "importtime"] if loaded else []), "-c", CALL, *words],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        check=False,
    )


def test_the_console_script_is_the_function_tested_here():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {"mixnas": "nas.__main__:main"}


def test_all_commands_are_listed_without_importing_them():
    listed = mixnas(loaded=True)
    assert listed.returncode == 0
    for name, place in COMMANDS.items():
        assert f"  {name} " in listed.stdout
        assert place.summary in listed.stdout
    assert "nas.cli" in listed.stderr
    assert not {"nas.spec", "torch", "analysis"} & {
        line.rpartition("|")[2].strip() for line in listed.stderr.splitlines()
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_an_application(name):
    assert isinstance(importlib.import_module(COMMANDS[name].module).app, typer.Typer)


@pytest.mark.parametrize("words", [("cost", "mixnet_s", "--json"), ("space", "list", "--json")])
def test_a_command_is_that_of_its_module(words):
    own = subprocess.run(
        [sys.executable, "-m", COMMANDS[words[0]].module.removesuffix(".__main__"), *words[1:]],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    found = mixnas(*words)
    assert json.loads(found.stdout) == json.loads(own.stdout)


@pytest.mark.parametrize("words", [("cost",), ("analysis", "pareto")])
def test_usage_names_the_command_as_it_was_called(words):
    assert mixnas(*words, "--help").stdout.startswith(f"Usage: mixnas {' '.join(words)} [OPTIONS]")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("cots",), "error: unknown command 'cots' (did you mean 'cost'?)"),
        (("cost", "mixnet_x"), "error: unknown network 'mixnet_x'"),
        (("analysis", "pareto", "nowhere"), "error: "),
        (("--budget", "4M"), "error: No such option: --budget"),
    ],
)
def test_mistakes_are_told_in_one_line(words, told):
    found = mixnas(*words)
    assert found.returncode == 2
    assert found.stderr.startswith(told)
    assert found.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("mixnas sc", ["scale"]),
        ("mixnas cost --ch", ["--check"]),
        ("mixnas space va", ["validate"]),
    ],
)
def test_words_are_completed(line, completed):
    position = str(len(line.split()) - 1)
    found = mixnas(_MIXNAS_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=position)
    assert found.stdout.split() == completed
