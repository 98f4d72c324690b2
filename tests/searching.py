"""What tests of searches share: a space of small networks, studies of it, processes that search."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

import optuna

from nas.objective import PARETO
from nas.samplers.domain import SpaceDomain
from nas.samplers.random import RandomSampler
from nas.space import load_space
from nas.study import SearchStudy
from nas.study.storage import open_storage
from nas.testing.fakes import Instant, InstantDevice
from tests.conftest import ROOT

SPACE = """
schema: mixnas.space/1
name: small
input: {resolution: 32}
stem: {channels: 8}
stages:
  a:
    stride: 2
    depth: {choice: [1, 2]}
    channels: {choice: [16, 24]}
    kernels: {groups: [1, 3], of: [3, 5, 7]}
    expansion: {choice: [2, 3]}
head: {channels: 32}
"""
# The best is retrained by the tests of retraining alone: elsewhere it would take most of the time.
UNCONFIRMED = ("--confirm", "0", "--reference", "none")
FAKES = ("--device", "nas.testing.fakes:InstantDevice", *UNCONFIRMED)


def search(*words):
    return ("nas.search", "--space", "small.yaml", "--workers", "2", *UNCONFIRMED, *words)


def faked(*words, estimator="Instant"):
    words = ("--estimator", f"nas.testing.fakes:{estimator}", *words)
    return ("nas.search", "--space", "small.yaml", "--workers", "2", *FAKES, *words)


def write_space(folder):
    path = folder / "small.yaml"
    path.write_text(SPACE, encoding="utf-8")
    return path


def open_study(storage, folder, new=True, seed=0, name="search"):
    """A study of the small space in `folder`, whose networks are drawn at random."""
    space = load_space(str(folder / "small.yaml"))
    sampler = RandomSampler(SpaceDomain(space, []), seed)
    return SearchStudy(
        storage=open_storage(storage),
        name=name,
        space=space,
        sampler=sampler,
        objective=PARETO,
        seed=seed,
        new=new,
    )


def finish(study, trial):
    """Complete a trial with what the stand-ins say of it."""
    study.note_latency(trial, InstantDevice().measure(trial.spec))
    study.complete(trial, Instant().estimate(trial.spec, study.seed))


_WRITER = """
import sys
from pathlib import Path
from tests.searching import finish, open_study

storage, folder, name, seed, trials = sys.argv[1:]
study = open_study(storage, Path(folder), new=False, seed=int(seed), name=name)
for _ in range(int(trials)):
    finish(study, study.ask())
"""


def write_at_once(storage, folder, seeds, trials, name="search"):
    """Let processes ask and tell in one study at the same time, one for every seed."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITER, storage, str(folder), name, str(seed), str(trials)],
            cwd=ROOT, stderr=subprocess.PIPE, text=True,
        )
        for seed in seeds
    ]  # fmt: skip
    for process in processes:
        _, told = process.communicate(timeout=120)
        assert process.returncode == 0, told


def trials_of(storage, name="search"):
    """The trials of a study as Optuna reads them."""
    return optuna.load_study(study_name=name, storage=open_storage(storage)).get_trials()


def complete(trials):
    return [trial for trial in trials if trial.state.name == "COMPLETE"]


def check_nothing_lost_or_double(trials, wanted):
    """No gap in the numbers, `wanted` trials complete and whole, no network twice."""
    assert [trial.number for trial in trials] == list(range(len(trials)))
    done = complete(trials)
    assert len(done) == wanted
    for trial in done:
        assert len(trial.values) == 2
        assert {"spec_hash", "cost", "latency", "estimate", "seed"} <= set(trial.user_attrs)
    counting = [t for t in trials if not t.user_attrs.get("reason", "").startswith("interrupted")]
    times = Counter(trial.user_attrs["spec_hash"] for trial in counting)
    assert set(times.values()) == {1}, json.dumps(times)
