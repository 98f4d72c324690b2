import dataclasses

import pytest

from nas.accuracy import Estimate
from nas.errors import MixnasError, OutOfRangeError, UnrunnableError
from nas.executors.base import Failure, Task
from nas.limits import parse_limit
from nas.search.devices.source import surely_broken
from nas.search.trials import MOST_IN_VAIN
from nas.space import size
from nas.spec import load_network
from nas.testing.fakes import Instant, InstantDevice


def judged(runner, tasks):
    for key, task in tasks.items():
        runner.end(key, Instant().estimate(task.spec, task.seed))


def test_trials_are_begun_measured_and_recorded(bench):
    search = bench(wanted=3)
    tasks = search.runner.begin(2)
    assert list(tasks) == [0, 1]
    assert all(isinstance(task, Task) and task.seed == 5 for task in tasks.values())
    assert (search.runner.left, search.study.completed()) == (1, 0)
    trial = search.runner.end(0, Instant().estimate(tasks[0].spec, 5))
    assert trial.latency == InstantDevice().measure(trial.spec)
    assert search.runner.end(1, Failure("a bug")).number == 1
    table = search.study.table().set_index("number")
    assert table["state"].to_dict() == {0: "complete", 1: "fail"}
    assert table["reason"][1] == "a bug"
    assert table["score"][0] == Instant().estimate(tasks[0].spec, 5).score
    assert (search.runner.left, search.study.completed(), search.runner.running) == (2, 1, {})


def test_measuring_here_alternates_with_training(bench):
    search = bench(wanted=9)
    assert search.runner.needs_quiet
    assert search.runner.room(waiting=0, training=1, workers=2) == 0
    assert search.runner.room(waiting=5, training=0, workers=2) == 4
    assert search.runner.room(waiting=0, training=0, workers=8) == 9
    search.runner.begin(1)
    assert search.runner.room(waiting=0, training=0, workers=2) == 0


def test_measuring_elsewhere_fills_the_workers(bench):
    class Remote(InstantDevice):
        local = False

    search = bench(wanted=9, device=Remote())
    assert not search.runner.needs_quiet
    assert search.runner.room(waiting=1, training=2, workers=4) == 1
    assert search.runner.room(waiting=3, training=2, workers=4) == 0
    assert search.runner.room(waiting=0, training=0, workers=99) == 9


def test_networks_beyond_a_latency_limit_end_before_their_training(bench):
    limit = parse_limit("latency", "0.0001ms..0.0002ms")
    search = bench(limits=[limit])
    assert search.runner.begin(1) == {}
    table = search.study.table()
    assert set(table["state"]) == {"pruned"}
    assert len(table) == MOST_IN_VAIN + 2
    assert table["reason"].str.match(r"latency 0\.\d\d ms breaks 0.0001ms <= latency").all()


def test_networks_that_the_device_cannot_run_fail(bench):
    class Small(InstantDevice):
        def measure(self, spec, effort=None):
            raise UnrunnableError("it does not fit")

    search = bench(device=Small())
    assert search.runner.begin(2) == {}
    table = search.study.table()
    assert set(table["reason"]) == {"it does not fit"}
    assert set(table["state"]) == {"fail"}


def test_a_predicted_latency_breaks_a_limit_only_with_its_whole_error_bar():
    measured = InstantDevice().measure(load_network("mixnet_s"))
    predicted = dataclasses.replace(
        measured, source="predicted", low_ms=2.0, steady_ms=3.0, high_ms=4.0
    )
    below, beyond = parse_limit("latency", "2.5ms"), parse_limit("latency", "1.9ms")
    assert not surely_broken(below, predicted)
    assert surely_broken(beyond, predicted)
    assert surely_broken(below, dataclasses.replace(predicted, source="measured"))
    assert not surely_broken(
        parse_limit("latency", "3ms"), dataclasses.replace(predicted, source="measured")
    )


def test_references_are_judged_once(bench):
    search = bench(references=["mixnet_s"])
    tasks = search.runner.begin_references()
    assert list(tasks) == ["mixnet_s"]
    assert search.runner.end("mixnet_s", Estimate(0.9, 0.1, 1.0, 5)) is None
    (row,) = search.references.rows
    assert (row["name"], row["state"], row["score"], row["seed"]) == (
        "mixnet_s",
        "complete",
        0.9,
        5,
    )
    assert search.runner.begin_references() == {}


def test_a_search_that_gets_nowhere_ends_with_the_commonest_reason(bench):
    search = bench(wanted=50)
    for number in range(MOST_IN_VAIN):
        search.runner.check_progress()
        (key,) = search.runner.begin(1)
        search.runner.end(key, Failure("a" if number % 3 else "b"))
    with pytest.raises(MixnasError) as told:
        search.runner.check_progress()
    assert str(told.value).startswith(
        "8 trials ended without a result and 0 with one; the most common reason (5 "
        "times): a. Remove the cause"
    )
    judged(search.runner, search.runner.begin(1))  # three more are borne for each success
    search.runner.check_progress()


def test_failures_of_an_earlier_process_do_not_end_the_next_one(bench):
    search = bench(wanted=50)
    for _ in range(MOST_IN_VAIN):
        (key,) = search.runner.begin(1)
        search.runner.end(key, Failure("a"))
    resumed = dataclasses.replace(search.runner, running={})
    resumed.check_progress()


def test_trials_are_adopted_all_or_none(bench):
    search = bench(wanted=4)
    tasks = search.runner.begin(2)
    resumed = dataclasses.replace(search.runner, running={})
    assert resumed.adopt([0, 1])
    assert {n: trial.spec for n, trial in resumed.running.items()} == {
        n: task.spec for n, task in tasks.items()
    }
    search.runner.end(1, Failure("a"))
    another = dataclasses.replace(search.runner, running={})
    assert not another.adopt([0, 1])
    assert another.running == {}


def test_a_space_that_is_used_up_ends_the_search(bench):
    search = bench(wanted=10_000)
    networks = size(search.space)
    while not search.runner.exhausted:
        judged(search.runner, search.runner.begin(50))
    assert search.study.completed() == networks
    assert search.runner.left == 0


def test_networks_beyond_the_range_of_the_predictor_are_measured(bench):
    class Narrow:
        predicted = 0

        def predict(self, spec, choice):
            self.predicted += 1
            if self.predicted == 2:
                raise OutOfRangeError("too unlike the others")
            return dataclasses.replace(InstantDevice().measure(spec), source="predicted")

    search = bench(wanted=3)
    search.runner.devices = [dataclasses.replace(search.devices[0], predictor=Narrow())]
    search.runner.begin(3)
    assert search.study.table()["latency_source"].tolist() == ["predicted", "measured", "predicted"]
