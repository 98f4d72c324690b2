import contextlib
import dataclasses
import os
import shutil
import sqlite3
import subprocess

import pytest

from nas.errors import ExhaustedError, MixnasError
from nas.objective import open_objective
from nas.samplers.base import Proposal
from nas.samplers.domain import SpaceDomain
from nas.samplers.random import RandomSampler
from nas.space import load_space
from nas.space.rows import genotype_of_row
from nas.study import MOST_INTERRUPTIONS, SearchStudy
from nas.study.storage import open_storage
from nas.testing.fakes import Instant, InstantDevice
from tests.searching import (
    check_nothing_lost_or_double,
    complete,
    finish,
    open_study,
    trials_of,
    write_at_once,
    write_space,
)


@pytest.fixture
def folder(tmp_path):
    write_space(tmp_path)
    return tmp_path


@pytest.fixture
def storage(tmp_path):
    return f"sqlite:///{tmp_path / 'study.db'}"


@pytest.fixture
def study(storage, folder):
    return open_study(storage, folder)


def states(storage):
    return [trial.state.name for trial in trials_of(storage)]


def finish_most(study, most, numbers):
    """Complete trials until an error is raised, and append their numbers to a list."""
    for _ in range(most):
        trial = study.ask()
        finish(study, trial)
        numbers.append(trial.number)


def test_values_have_names_in_the_study(study):
    """Optuna's dashboard shows them."""
    assert study.optuna_study.metric_names == ["score", "latency (ms)"]


def test_the_sampler_learns_the_latency_at_the_usual_speed(study, storage):
    """On a machine that was slow for a while, the median is not what networks are compared by."""
    trial = study.ask()
    latency = InstantDevice().measure(trial.spec)
    study.note_latency(trial, dataclasses.replace(latency, median_ms=2.0, steady_ms=1.5))
    study.complete(trial, Instant().estimate(trial.spec, 0))
    (written,) = trials_of(storage)
    assert written.values[1] == 1.5
    assert study.table()["latency_ms"].tolist() == [1.5]


def alter(path, statement):
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


def test_a_study_that_cannot_be_read_is_told(study, storage, folder, tmp_path):
    finish(study, study.ask())
    alter(tmp_path / "study.db", "UPDATE trial_user_attributes SET value_json = '{'")
    with pytest.raises(MixnasError, match="the study 'search' is damaged: a trial cannot be read"):
        open_study(storage, folder, new=False)


def test_a_trial_that_lost_its_latency_is_told(study, storage, folder, tmp_path):
    finish(study, study.ask())
    alter(tmp_path / "study.db", "DELETE FROM trial_user_attributes WHERE key = 'latency'")
    with pytest.raises(MixnasError, match="trial 0 of the study is damaged: it is complete"):
        open_study(storage, folder, new=False)


def test_a_space_that_lost_a_value_is_told(study, storage, folder):
    for _ in range(8):
        finish(study, study.ask())
    path = folder / "small.yaml"
    path.write_text(path.read_text().replace("choice: [16, 24]", "choice: [16, 32]"))
    with pytest.raises(MixnasError, match=r"in trial \d+ 'a.channels' was .*24.*no such value now"):
        open_study(storage, folder, new=False)


def test_asking_writes_the_whole_trial(study, storage):
    trial = study.ask()
    (written,) = trials_of(storage)
    assert (written.number, written.state.name) == (0, "RUNNING")
    assert study.space.from_params(written.params) == trial.genotype
    assert written.user_attrs["spec_hash"] == trial.spec.digest()
    assert written.user_attrs["cost"] == vars(trial.cost)
    assert written.user_attrs["seed"] == 0
    assert written.datetime_start is not None
    assert trial.spec.name == "trial_0"
    assert set(written.params) == {
        name for name, label in study.space.to_params(trial.genotype).items() if label is not None
    }


def test_a_trial_ends_complete_pruned_or_failed_and_so_says_the_table(study, storage):
    trials = [study.ask() for _ in range(3)]
    finish(study, trials[0])
    study.prune(trials[1], "latency 9.00 ms breaks latency <= 8ms")
    study.fail(trials[2], "the training loss is nan in epoch 1")
    assert states(storage) == ["COMPLETE", "PRUNED", "FAIL"]
    latency = InstantDevice().measure(trials[0].spec).steady_ms
    accuracy = Instant().estimate(trials[0].spec, 0).accuracy
    assert trials_of(storage)[0].values == [accuracy, latency]
    assert study.completed() == 1
    assert study.ended_without() == [
        "latency 9.00 ms breaks latency <= 8ms",
        "the training loss is nan in epoch 1",
    ]
    table = study.table()
    assert list(table["number"]) == [0, 1, 2]
    assert list(table["state"]) == ["complete", "pruned", "fail"]
    assert table["accuracy"][0] == accuracy
    assert table["latency_ms"][0] == latency
    assert list(table["spec_hash"]) == [trial.spec.digest() for trial in trials]
    rows = table.to_dict("records")
    assert [genotype_of_row(row, study.space) for row in rows] == [t.genotype for t in trials]


def test_a_trial_without_latency_is_not_complete(study, storage):
    trial = study.ask()
    with pytest.raises(ValueError, match="trial 0 has no latency"):
        study.complete(trial, Instant().estimate(trial.spec, 0))
    assert states(storage) == ["RUNNING"]


def test_a_confirmed_latency_replaces_the_earlier_one(study, storage):
    trials = [study.ask(), study.ask()]
    for trial in trials:
        finish(study, trial)
    study.confirm(0, InstantDevice().measure(trials[1].spec))
    table = study.table()
    assert table["latency_ms"][0] == table["latency_ms"][1]
    first, second = (trial.values[1] for trial in trials_of(storage))
    assert first == InstantDevice().measure(trials[0].spec).steady_ms
    assert second == table["latency_ms"][1]


def test_no_network_is_proposed_twice(tmp_path, storage):
    text = write_space(tmp_path).read_text().replace("{groups: [1, 3], of: [3, 5, 7]}", "3")
    (tmp_path / "small.yaml").write_text(text)
    study = open_study(storage, tmp_path)
    numbers = []
    with pytest.raises(
        ExhaustedError, match="every network of 'small' within the limits was tried, 8 in"
    ):
        finish_most(study, 1000, numbers)
    assert len(numbers) == study.completed() > 4
    check_nothing_lost_or_double(trials_of(storage), len(numbers))


class Stubborn(RandomSampler):
    """Proposes the same network four times."""

    def next_proposal(self, study, number):
        if number < 4:
            return Proposal(self.domain.canonical((0,) * len(self.domain.variables())))
        return super().next_proposal(study, number)


def test_a_network_that_another_process_has_started_is_not_tried_again(folder, storage):
    space = load_space(str(folder / "small.yaml"))
    sampler = Stubborn(SpaceDomain(space, []), 0)
    study = SearchStudy(
        storage=open_storage(storage),
        name="search",
        space=space,
        sampler=sampler,
        objective=open_objective("pareto", None),
        seed=0,
        new=True,
    )
    first, second = study.ask(), study.ask()
    assert (first.number, second.number) == (0, 4)
    assert first.spec.digest() != second.spec.digest()
    assert states(storage) == ["RUNNING", "FAIL", "FAIL", "FAIL", "RUNNING"]
    assert study.ended_without() == []
    finish(study, first)
    finish(study, second)
    assert study.requeue() == 0


def test_running_trials_are_queued_again_exactly_once(study, storage, folder):
    finish(study, study.ask())
    lost = [study.ask(), study.ask()]
    continued = study.ask()
    later = open_study(storage, folder, new=False)
    assert later.requeue([continued.number]) == 2
    assert states(storage) == ["COMPLETE", "FAIL", "FAIL", "RUNNING"]
    assert later.ended_without() == []
    again = [later.ask() for _ in range(3)]
    assert [t.spec.digest() for t in again[:2]] == [t.spec.digest() for t in lost]
    old = {trial.user_attrs["spec_hash"] for trial in trials_of(storage)[:4]}
    assert again[2].spec.digest() not in old
    for trial in [*again, later.reopen(continued.number)]:
        finish(later, trial)
    assert later.requeue() == 0
    check_nothing_lost_or_double(trials_of(storage), 5)


def test_a_running_trial_is_continued_where_it_was(study, storage, folder):
    trial = study.ask()
    study.note_latency(trial, InstantDevice().measure(trial.spec))
    done = study.ask()
    finish(study, done)
    later = open_study(storage, folder, new=False)
    again = later.reopen(trial.number)
    assert again == trial
    assert later.reopen(done.number) is None


def test_a_network_that_keeps_crashing_its_process_is_not_tried_again(study, storage, folder):
    first = study.ask()
    for _ in range(MOST_INTERRUPTIONS - 1):
        study = open_study(storage, folder, new=False)
        assert study.requeue() == 1
        assert study.ask().spec.digest() == first.spec.digest()
    study = open_study(storage, folder, new=False)
    assert study.requeue() == 0
    assert study.ask().spec.digest() != first.spec.digest()
    assert states(storage) == ["FAIL"] * MOST_INTERRUPTIONS + ["RUNNING"]
    reasons = [trial.user_attrs["reason"] for trial in trials_of(storage)[:-1]]
    assert reasons[-2:] == [
        "interrupted; put in the queue again",
        "interrupted 3 times; not tried again",
    ]


def test_finished_trials_are_never_repeated(study, storage, folder):
    ended = [study.ask() for _ in range(3)]
    finish(study, ended[0])
    study.fail(ended[1], "a reason")
    study.prune(ended[2], "another reason")
    before = trials_of(storage)
    for _ in range(2):
        study = open_study(storage, folder, new=False)
        assert study.requeue() == 0
        finish(study, study.ask())
    assert trials_of(storage)[:3] == before
    check_nothing_lost_or_double(trials_of(storage), 3)


def test_a_study_is_created_once_and_found_by_its_name(study, storage, folder):
    with pytest.raises(MixnasError, match="already has a study 'search'"):
        open_study(storage, folder)
    with pytest.raises(MixnasError, match="has no study 'other'"):
        open_study(storage, folder, new=False, name="other")
    other = open_study(storage, folder, name="other")
    finish(other, other.ask())
    assert (study.completed(), other.completed()) == (0, 1)


def test_facts_that_changed_are_refused_by_name(study, storage, folder):
    study.check_facts("accuracies", {"epochs": 3, "data": ("digits", 1)})
    later = open_study(storage, folder, new=False)
    later.check_facts("accuracies", {"epochs": 3, "data": ("digits", 1)})
    with pytest.raises(MixnasError, match=r"accuracies of this run cannot be compared.*epochs"):
        later.check_facts("accuracies", {"epochs": 4, "data": ("digits", 1)})


@pytest.mark.parametrize("seeds", [(0, 1, 2), (7, 7, 7)], ids=["apart", "same proposals"])
def test_processes_that_write_at_once_neither_lose_nor_repeat_trials(study, storage, folder, seeds):
    write_at_once(storage, folder, seeds, trials=10)
    check_nothing_lost_or_double(trials_of(storage), 30)
    assert study.requeue() == 0
    assert study.completed() == 30


@pytest.fixture
def small_disk(tmp_path):
    """Return a mounted file system of two megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small file system")
    words = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(place)]
    mounted = subprocess.run(words, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_disk_is_reported_and_nothing_is_lost_once_there_is_space(small_disk, folder):
    storage = f"sqlite:///{small_disk / 'study.db'}"
    study = open_study(storage, folder)
    finish(study, study.ask())
    ballast = small_disk / "ballast"
    room = shutil.disk_usage(small_disk).free - 64 * 1024
    ballast.write_bytes(bytes(room))
    numbers = [0]
    with pytest.raises(MixnasError, match=r"storage failed: .*full.*continue with --resume"):
        finish_most(study, 200, numbers)
    before = complete(trials_of(storage))
    assert [trial.number for trial in before] == numbers

    ballast.unlink()
    later = open_study(storage, folder, new=False)
    later.requeue()
    for _ in range(5):
        finish(later, later.ask())
    after = trials_of(storage)
    check_nothing_lost_or_double(after, len(numbers) + 5)
    assert [after[trial.number] for trial in before] == before
    with sqlite3.connect(small_disk / "study.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    database.close()
