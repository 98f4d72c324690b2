"""What a configuration from a file may not decide alone: code, addresses and storages."""

import dataclasses
import shlex
from pathlib import Path

import pytest

from nas.accuracy.naming import ESTIMATORS
from nas.errors import MixnasError
from nas.search.config import (
    BUILT_IN_ESTIMATORS,
    SearchConfig,
    code_and_addresses,
    refuse_unconfirmed,
    resume_command,
    resumed_config,
)

PLAIN = SearchConfig(workers=2, threads=1)
SERVER = "postgresql://nas@host:5432/db"


def config(**changes):
    return dataclasses.replace(PLAIN, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"sampler": "random", "estimator": "short:images", "device": "torch:cpu", "ray": "local"},
        {"estimator": "zero-cost:zico", "device": "onnxruntime:cuda", "ray": "auto"},
        {"estimator": "table:trained.json", "device": "compile:cpu", "ray": "none"},
    ],
)
def test_what_comes_with_the_program_counts_from_a_file(changes):
    assert code_and_addresses(config(**changes)) == {}
    refuse_unconfirmed(config(**changes), {}, Path("config.yaml"))
    assert resumed_config(config(**changes), {}, Path("run"), trusted=False).trials == 24


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sampler", "runs.evil.payload:go"),
        ("estimator", "os:system"),
        ("device", "http://board:7070"),
        ("device", "https://board:7070"),
        ("device", "mine:Device"),
        ("device", "nas.testing.fakes:InstantDevice"),
        ("storage", SERVER),
        ("storage", "sqlite:////home/somebody/else.db"),
        ("ray", "host:6379"),
        ("ray", "ray://host:10001"),
    ],
)
def test_code_and_addresses_count_only_if_they_are_given(name, value):
    recorded = config(**{name: value})
    assert code_and_addresses(recorded) == {name: [value]}
    with pytest.raises(MixnasError) as told:
        resumed_config(recorded, {}, Path("run"), trusted=False)
    assert "\n" not in str(told.value)
    assert str(told.value) == (
        f"run/config.yaml names code to run or addresses to connect to, which count only if you "
        f"give them yourself: add --{name} {value}, or --trust-config if you trust the file"
    )
    assert resumed_config(recorded, {}, Path("run"), trusted=True) == recorded
    assert resumed_config(recorded, {name: value}, Path("run"), trusted=False) == recorded


def test_another_value_is_refused_or_replaces_the_recorded_one():
    recorded = config(sampler="mine:go", ray="host:6379")
    with pytest.raises(MixnasError, match="--sampler other:go: the run was begun with mine:go"):
        resumed_config(recorded, {"sampler": "other:go"}, Path("run"), trusted=True)
    given = {"sampler": "mine:go", "ray": "none"}
    assert resumed_config(recorded, given, Path("run"), trusted=False).ray is None
    refuse_unconfirmed(recorded, {"sampler": "other:go", "ray": "local"}, Path("config.yaml"))


def test_all_options_that_are_missing_are_named_at_once():
    recorded = config(sampler="mine:go", estimator="mine:E", storage=SERVER)
    with pytest.raises(MixnasError) as told:
        refuse_unconfirmed(recorded, {"estimator": "mine:E"}, Path("a b/config.yaml"))
    assert f"add --sampler mine:go --storage {SERVER}, or --trust-config" in str(told.value)


def test_the_command_that_continues_a_run_can_be_pasted():
    assert resume_command(Path("runs/a"), PLAIN) == "python -m nas.search --resume runs/a"
    own = config(sampler="mine:go", storage="postgresql://nas:secret@host/db?sslpassword=secret")
    words = shlex.split(resume_command(Path("runs/pets [final]"), own))
    assert words == [
        *("python", "-m", "nas.search", "--resume", "runs/pets [final]"),
        *("--sampler", "mine:go", "--storage", "postgresql://nas@host/db"),
    ]


def test_all_estimators_that_come_with_the_program_are_known():
    assert set(BUILT_IN_ESTIMATORS) == set(ESTIMATORS)
