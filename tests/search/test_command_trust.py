"""Configurations that somebody else wrote: nothing in them is run or connected to."""

import sys

import pytest
import yaml

from tests.latency.remote.stub import conditions, stub
from tests.searching import SPACE, faked, write_space

CONFIG = {
    "space": "small.yaml", "limits": {}, "data": "digits", "estimator": "zero-cost:params",
    "trials": 2, "device": "onnxruntime:cpu", "sampler": "random", "references": [], "seed": 0,
    "workers": 1, "threads": 1,
}  # fmt: skip


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Write a run directory that somebody made; return its path."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("runs", "runs.evil", "runs.evil.payload"):
        monkeypatch.delitem(sys.modules, name, raising=False)

    def write(**changes):
        folder = tmp_path / "runs" / "evil"
        folder.mkdir(parents=True)
        (folder / "payload.py").write_text("open('PWNED', 'w').close()\ngo = None\n")
        (folder / "space.yaml").write_text(SPACE, encoding="utf-8")
        text = yaml.safe_dump({**CONFIG, **changes})
        (folder / "config.yaml").write_text(text, encoding="utf-8")
        return "runs/evil"

    return write


@pytest.mark.parametrize("how", ["resume", "config"])
@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"sampler": "runs.evil.payload:go"}, "add --sampler runs.evil.payload:go, or --trust"),
        ({"estimator": "os:system", "data": "x;touch PWNED;"}, "add --estimator os:system, or"),
        ({"device": "runs.evil.payload:go"}, "add --device runs.evil.payload:go, or"),
        ({"storage": "sqlite:///PWNED"}, "add --storage sqlite:///PWNED, or --trust-config"),
    ],
)
def test_code_and_storages_of_a_file_are_not_used(refused, run, tmp_path, how, changes, option):
    path = run(**changes)
    words = ("--resume", path) if how == "resume" else ("--config", f"{path}/config.yaml")
    assert option in refused("nas.search", *words)
    assert not (tmp_path / "PWNED").exists()


def test_a_device_of_a_file_receives_no_token(refused, run, monkeypatch):
    monkeypatch.setenv("MIXNAS_TOKEN", "the-users-token")
    with stub((200, conditions(), {})) as (url, asked):
        path = run(device=url)
        assert f"add --device {url}, or --trust-config" in refused("nas.search", "--resume", path)
        assert asked == []


@pytest.mark.parametrize(
    "words", [("--sampler", "runs.evil.payload:go"), ("--trust-config",)], ids=lambda w: w[0]
)
def test_what_the_user_names_is_used(here, run, tmp_path, words):
    path = run(sampler="runs.evil.payload:go")
    result = here("nas.search", "--config", f"{path}/config.yaml", "--out", "run", *words)
    assert (tmp_path / "PWNED").exists()
    assert result.returncode != 0  # `go` is no sampler


def test_trusting_nothing_is_a_mistake(refused):
    assert "--trust-config goes with --resume or --config" in refused(
        "nas.search", "--trust-config"
    )


@pytest.mark.slow
def test_folders_called_as_our_packages_are_in_nobodys_way(command, fakes, tmp_path):
    """In the worker processes, too."""
    write_space(tmp_path)
    for name in ("analysis", "search_spaces"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
    result = command(*faked("--trials", "2", "--out", "run"))
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "run" / "report.html").is_file()
