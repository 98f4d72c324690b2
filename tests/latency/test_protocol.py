"""The order of runs, and the statistics of their times."""

import itertools
import random

import numpy as np
import pytest

from nas.latency.protocol import Effort, Timing, remarks, time_in_turns, warm_up

QUICK = Effort(rounds=8, seconds=0.8, precision=0.015, warm_seconds=0.3)


class Simulated:
    """A machine whose speed changes; it needs no clock."""

    def __init__(self, seed=0):
        self.rng = random.Random(seed)
        self.order = []
        self.speed = itertools.chain([1.0] * 60, itertools.cycle([1.0] * 40 + [1.7] * 40))

    def run(self, name, ms):
        def once():
            self.order.append(name)
            return ms * next(self.speed) * self.rng.uniform(0.98, 1.02)

        return once


def test_networks_take_turns_with_the_reference():
    machine = Simulated()
    timing = time_in_turns(machine.run("n", 30.0), machine.run("r", 3.0), QUICK)
    turns = [name for name, _ in itertools.groupby(machine.order)]
    assert turns[:2] == ["r", "n"]  # the warm-up
    assert turns[2:] == ["r", "n"] * len(timing.rounds)
    assert len(timing.rounds) >= QUICK.rounds
    assert timing.n == sum(len(times) for times in timing.rounds)


def test_the_ratio_is_stable_where_the_times_are_not():
    machine = Simulated()
    effort = Effort(rounds=20, seconds=0.0)
    timing = time_in_turns(machine.run("n", 6.0), machine.run("r", 3.0), effort)
    assert timing.ratio == pytest.approx(2.0, rel=0.03)
    low, high = timing.interval()
    assert low <= timing.percentiles()[1] <= high
    assert any("uncertain by" in remark for remark in remarks(timing, 3.0))


def test_a_slow_or_fast_reference_is_reported():
    steady = tuple(np.full(5, 4.0) for _ in range(6))
    timing = Timing(steady, tuple(np.full(5, 2.0) for _ in range(6)))
    assert remarks(timing, 2.0) == []
    assert remarks(timing, 1.0) == ["the reference network took 2.00 times its usual time"]
    assert "python -m nas.device examine" in remarks(timing, 3.0)[0]


def test_precision_ends_a_measurement_early():
    def exact(ms):
        return lambda: ms

    timing = time_in_turns(exact(2.0), exact(1.0), Effort(rounds=8, seconds=60.0))
    assert len(timing.rounds) == 8
    assert timing.percentiles() == (2.0, 2.0, 2.0)


def test_the_warm_up_goes_on_until_two_medians_agree():
    times = itertools.chain(2.0 ** np.arange(10, 0, -0.2), itertools.repeat(1.0))
    assert warm_up(lambda: next(times), 60.0) == pytest.approx(1.0, rel=0.05)
    grows = itertools.count(1.0)
    assert warm_up(lambda: 2.0 ** next(grows), 0.0) > 1  # ends when the time is over
