"""What becomes of tasks whose processes or nodes die; no cluster is needed."""

import logging
from types import SimpleNamespace

import pytest

pytest.importorskip("ray")

from nas.executors import ray_restarts
from nas.executors.ray_restarts import (
    RESTARTS,
    Restarts,
    scheduler_of,
    without_dead_trials,
)


@pytest.fixture
def clock(monkeypatch):
    """A clock that only the test moves."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(ray_restarts, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def pause_before(restarts, key, clock):
    """Let a task die; return the seconds until it starts again."""
    assert restarts.add({"key": key})
    before = clock.now
    while (config := restarts.due()) is None:
        clock.now += 0.5
    assert config == {"key": key}
    return clock.now - before


def test_a_task_is_restarted_after_a_pause_that_grows(clock):
    restarts = Restarts()
    pauses = [pause_before(restarts, 7, clock) for _ in range(RESTARTS)]
    assert pauses == [1, 2, 4, 8, 16, 20, 20, 20]
    assert not restarts.add({"key": 7})
    assert len(restarts) == 0
    assert pause_before(restarts, 8, clock) == 1  # deaths of others do not count


def test_tasks_that_die_together_wait_together(clock):
    restarts = Restarts()
    assert all(restarts.add({"key": key}) for key in (1, 2, 3))
    assert (restarts.due(), len(restarts)) == (None, 3)
    clock.now += 1
    assert [restarts.due()["key"] for _ in range(3)] == [1, 2, 3]
    assert restarts.due() is None


@pytest.mark.parametrize("stages", [1, 3])
def test_the_death_of_a_trial_is_written_down(stages):
    marked = []
    controller = SimpleNamespace(_mark_trial_to_checkpoint=marked.append)
    trial = SimpleNamespace(trial_id="a")
    scheduler_of(stages).on_trial_error(controller, trial)
    assert marked == [trial]


def test_a_trial_that_died_does_not_compete_with_the_one_in_its_place():
    scheduler = scheduler_of(3)
    scheduler.set_search_properties("score", "max")
    controller = SimpleNamespace(_mark_trial_to_checkpoint=lambda trial: None)

    def decide(name, score):
        trial = SimpleNamespace(trial_id=name, status="RUNNING")
        scheduler.on_trial_add(controller, trial)
        return trial, scheduler.on_trial_result(controller, trial, {"stage": 1, "score": score})

    decided = {name: decide(name, score) for name, score in (("a", 0.7), ("b", 0.8), ("c", 0.9))}
    assert decided["c"][1] == "CONTINUE"
    assert decide("d", 0.82)[1] == "STOP"  # beside b and c
    for name in ("b", "c"):
        scheduler.on_trial_error(controller, decided[name][0])
    (bracket,) = scheduler._brackets
    assert {name for _, scores in bracket._rungs for name in scores} == {"a", "d"}
    assert decide("b again", 0.8)[1] == "CONTINUE"  # the cutoff was 0.82 with b and c


def test_dead_trials_are_not_listed_at_the_end(caplog):
    logger = logging.getLogger("ray.tune.tune")
    with caplog.at_level(logging.ERROR):
        with without_dead_trials():
            logger.error("Trials did not complete: %s", ["a"])
            logger.error("something else")
        logger.error("Trials did not complete: %s", ["b"])
    assert caplog.messages == ["something else", "Trials did not complete: ['b']"]
