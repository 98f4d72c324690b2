"""The order of runs, and the statistics of their times."""

import gc
import itertools
import random

import numpy as np
import pytest

from nas.latency import protocol
from nas.latency.protocol import (
    Effort,
    Timing,
    medians_in_turns,
    remarks,
    time_in_turns,
    warm_up,
)

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


class Shared:
    """Two cores with two other processes: of every 8 ms, the last 4 are theirs."""

    def __init__(self):
        self.now = 0.0

    def run(self, ms):
        def once():
            begin, left = self.now, ms
            while left > 1e-9:
                ours = max(4 - self.now % 8, 0.0)
                step = min(left, ours)
                self.now += step if step else 8 - self.now % 8
                left -= step
            return self.now - begin

        return once


@pytest.mark.parametrize("reference", [1.0, 3.1])
@pytest.mark.parametrize("ms", [0.4, 0.9, 1.7, 5.0, 12.0])
def test_interruptions_make_no_network_seem_fast_or_slow(ms, reference):
    machine = Shared()
    effort = Effort(rounds=200, seconds=0.0)
    timing = time_in_turns(machine.run(ms), machine.run(reference), effort)
    assert timing.steady_ms(reference) == pytest.approx(ms, rel=0.2)
    uneven = timing.interrupted_unevenly(reference)
    found = any("interrupted the runs unevenly" in remark for remark in remarks(timing, reference))
    assert found is uneven


@pytest.mark.parametrize(("ms", "reference"), [(0.9, 3.1), (12.0, 1.0)])
def test_a_network_that_is_interrupted_more_or_less_than_the_reference_is_rough(ms, reference):
    machine = Shared()
    effort = Effort(rounds=200, seconds=0.0)
    timing = time_in_turns(machine.run(ms), machine.run(reference), effort)
    assert not 0.75 < timing.ratio * reference / ms < 1.25
    assert timing.interrupted_unevenly(reference)


@pytest.mark.parametrize("rounds", [4, 12, 16, 60])
@pytest.mark.parametrize("reference", [2.0, 2.4, 4.0])  # at the usual speed, and slower
@pytest.mark.parametrize("which", ["network", "reference"])
def test_one_long_run_changes_no_latency(rounds, reference, which):
    times = {"network": [[1.0] * 3] * rounds, "reference": [[reference] * 2] * rounds}
    first, *others = times[which]
    times[which] = [[300.0, *first[1:]], *others]
    found = timing(times["network"], times["reference"])
    assert not found.interrupted_unevenly(2.0)
    assert found.steady_ms(2.0) == pytest.approx(2.0 / reference)


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


# -- fixed numbers -------------------------------------------------------------------------------


def timing(rounds, reference):
    return Timing(tuple(map(np.array, rounds)), tuple(map(np.array, reference)))


UNEVEN = timing([[1.0, 2, 9], [2, 4, 6], [3, 5, 7]], [[1.0, 1], [2, 2], [2, 4]])


def test_statistics_of_uneven_times():
    assert UNEVEN.n == 9
    assert UNEVEN.percentiles() == pytest.approx((1.8, 4.0, 7.4))
    assert UNEVEN.reference_ms == 2.0  # of 1 1 2 2 2 4
    assert UNEVEN.ratios() == pytest.approx([2.0, 2.0, 5 / 3])
    assert UNEVEN.ratio == 2.0
    # Of three medians, more than one in forty resamples has the least, or the largest, as median.
    assert UNEVEN.interval() == (2.0, 5.0)
    assert UNEVEN.ratio_error() == pytest.approx((2 - 5 / 3) / 2 / 2)


def test_the_error_of_a_ratio_is_half_the_width_of_its_interval(monkeypatch):
    monkeypatch.setattr(protocol, "_bootstrap", lambda medians: (1.7, 2.5))
    assert UNEVEN.ratio_error() == pytest.approx((2.5 - 1.7) / 2 / 2.0)


def test_intervals_are_those_of_400_resamples():
    medians = np.arange(1.0, 41.0)
    rng = np.random.default_rng(0)
    found = sorted(np.median(rng.choice(medians, size=40)) for _ in range(400))
    # 2.5% of 399 steps between 400 medians: 0.025 of the way from the tenth to the eleventh.
    low = found[9] + 0.975 * (found[10] - found[9])
    high = found[389] + 0.025 * (found[390] - found[389])
    assert protocol._bootstrap(medians) == pytest.approx((low, high))
    # The median of 40 lies within about a standard error and a quarter of root 40.
    assert (low, high) == pytest.approx((12.5, 28.5), abs=3)


@pytest.mark.parametrize(
    ("medians", "reference", "expected"),
    [
        ([9.6, 10, 10.4], [5.0] * 3, ["the ratio to the reference network is uncertain by 4%"]),
        ([9.8, 10, 10.2], [5.0] * 3, []),
        (
            [9.4, 10, 10.6],
            [5.0] * 3,
            [
                "the median is uncertain by 6%",
                "the ratio to the reference network is uncertain by 6%",
            ],
        ),
        # The machine was slower for a while: the median is uncertain, the ratio is not.
        ([9.4, 10, 10.6], [4.7, 5, 5.3], ["the median is uncertain by 6%"]),
    ],
)
def test_uncertain_medians_and_ratios_are_reported(medians, reference, expected):
    found = timing([[m, m, m + 3] for m in medians], [[r, r] for r in reference])
    assert remarks(found, 5.0) == expected


@pytest.mark.parametrize(
    ("usual", "slow"), [(1.0, None), (0.87, None), (0.86, "1.16"), (1.14, None), (1.16, "0.86")]
)
def test_references_within_15_percent_of_their_usual_time_are_usual(usual, slow):
    found = remarks(timing([[3.0]] * 3, [[1.0]] * 3), usual)
    assert len(found) == (slow is not None)
    assert all(f"took {slow} times its usual time" in remark for remark in found)


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_is_off_meanwhile_and_then_as_before(enabled):
    during, was_enabled = set(), gc.isenabled()

    def run():
        during.add(gc.isenabled())
        return 1.0

    def fail():
        raise KeyError

    (gc.enable if enabled else gc.disable)()
    try:
        time_in_turns(run, run, Effort(rounds=1, seconds=0.0))
        assert (during, gc.isenabled()) == ({False}, enabled)
        with pytest.raises(KeyError):
            time_in_turns(fail, run, Effort(rounds=1, seconds=0.0))
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if was_enabled else gc.disable)()


def test_settling_runs_are_not_counted():
    times = iter([100.0, 100.0, 1.0])
    assert medians_in_turns({"a": lambda: next(times)}, rounds=1, count=1, settle=2) == {"a": [1.0]}


def test_any_number_of_networks_take_turns():
    order, times = [], {"a": itertools.count(1.0), "b": itertools.count(10.0, 10.0)}

    def run(name):
        def once():
            order.append(name)
            return next(times[name])

        return once

    found = medians_in_turns({"a": run("a"), "b": run("b")}, rounds=2, count=3, settle=1)
    # The first of every four is not counted: 2 3 4 and 6 7 8; 20 30 40 and 60 70 80.
    assert found == {"a": [3.0, 7.0], "b": [30.0, 70.0]}
    assert "".join(order) == "aaaabbbb" * 2


class Clocked:
    """A machine whose clock the runs alone move."""

    def __init__(self, monkeypatch):
        self.now, self.runs = 100.0, []
        monkeypatch.setattr(protocol, "time", self)

    def perf_counter(self):
        return self.now

    def sleep(self, seconds):
        self.runs.append("-")
        self.now += seconds

    def run(self, name, ms):
        def once():
            self.runs.append(name)
            self.now += ms / 1000
            return ms

        return once


def test_a_measurement_takes_its_time(monkeypatch):
    machine = Clocked(monkeypatch)
    effort = Effort(rounds=2, seconds=1.0, precision=0.0, warm_seconds=0.12)
    found = time_in_turns(machine.run("n", 50.0), machine.run("r", 10.0), effort)
    # The reference agrees with itself after ten runs; the network's time is up after the third.
    # A round takes 3 x 10 and 4 x 50 ms, so that a second is over in the fifth.
    assert "".join(machine.runs) == "r" * 10 + "nnn" + "rrrnnnn" * 5
    assert [len(times) for times in found.rounds] == [3] * 5
    assert [len(times) for times in found.reference] == [2] * 5
    assert (found.n, found.ratio) == (15, 5.0)


def test_every_run_follows_a_pause_that_is_not_part_of_its_time(monkeypatch):
    machine = Clocked(monkeypatch)
    effort = Effort(rounds=2, seconds=1.0, precision=0.0, warm_seconds=0.45)
    run, reference = machine.run("n", 50.0), machine.run("r", 10.0)
    found = time_in_turns(run, reference, effort, interval_ms=200.0)
    # The warm-ups are over after three and two runs; a round takes 3 x 210 and 4 x 250 ms.
    assert "".join(machine.runs) == "-r" * 3 + "-n" * 2 + ("-r" * 3 + "-n" * 4) * 2
    assert [list(times) for times in found.rounds] == [[50.0] * 3] * 2
    assert [list(times) for times in found.reference] == [[10.0] * 2] * 2


@pytest.mark.parametrize(
    ("interval", "rounds", "seconds"),
    [
        # Five runs warm each up; a round takes 3 x 210 and 4 x 220 ms.
        (200.0, [3] * 16, 5 * 0.43 + 16 * 1.51),
        # The first run of the fifth round begins before the deadline, the others do not.
        (1000.0, [3] * 4 + [1], 2.03 + 4 * 7.11 + 2 * 1.01 + 1.02),
        # The deadline is in the first round; two more are needed for an interval.
        (10_000.0, [1, 1, 1], 20.03 + 3 * 10.01 + 10.02 + 2 * 20.03),
    ],
)
def test_the_time_limit_holds_with_pauses(monkeypatch, interval, rounds, seconds):
    machine = Clocked(monkeypatch)
    effort = Effort(seconds=2.0, precision=0.0)
    found = time_in_turns(machine.run("n", 20.0), machine.run("r", 10.0), effort, interval)
    assert [len(times) for times in found.rounds] == rounds
    assert machine.now - 100 == pytest.approx(seconds)


@pytest.mark.parametrize(("rounds", "made"), [(1, 4), (4, 4), (5, 8), (9, 12)])
def test_precision_is_checked_after_every_fourth_round(monkeypatch, rounds, made):
    machine = Clocked(monkeypatch)
    effort = Effort(rounds=rounds, seconds=20.0)
    assert len(time_in_turns(machine.run("n", 2.0), machine.run("r", 1.0), effort).rounds) == made


def test_the_precision_that_was_asked_for_ends_a_measurement(monkeypatch):
    errors = iter([0.02, 0.011, 0.009])
    monkeypatch.setattr(Timing, "ratio_error", lambda self: next(errors))
    machine = Clocked(monkeypatch)
    effort = Effort(rounds=1, seconds=20.0, precision=0.01)
    assert len(time_in_turns(machine.run("n", 2.0), machine.run("r", 1.0), effort).rounds) == 12


@pytest.mark.parametrize(
    ("seconds", "rounds", "runs"),
    [
        (60, [1, 1, 1], 5),  # of which one warms up, and one settles
        (10, [2, 1, 1], 6),
        (7, [3, 1, 1], 8),  # the second round still begins in time
        (2, [3, 3, 3, 2], 16),
    ],
)
def test_slow_networks_get_fewer_runs_and_the_measurement_ends(monkeypatch, seconds, rounds, runs):
    machine = Clocked(monkeypatch)
    found = time_in_turns(machine.run("n", 1000.0 * seconds), machine.run("r", 100.0))
    assert [len(times) for times in found.rounds] == rounds
    assert machine.runs.count("n") == runs
    assert len(found.reference[0]) == 2
    low, high = found.interval()
    assert low == high == 1000.0 * seconds


def test_more_time_may_be_asked_for(monkeypatch):
    machine = Clocked(monkeypatch)
    effort = Effort(rounds=2, seconds=50.0, precision=0.0)
    found = time_in_turns(machine.run("n", 2000.0), machine.run("r", 90.0), effort)
    # Six rounds take 49.62 s; the settling run of the seventh ends after 50.
    assert [len(times) for times in found.rounds] == [3] * 6 + [1]


def test_a_warm_up_ends_when_medians_differ_by_three_percent(monkeypatch):
    machine = Clocked(monkeypatch)
    times = iter([10.0] * 5 + [10.31] * 5 + [10.61] * 5 + [99.0] * 5)

    def run():
        return machine.run("n", next(times))()

    # 10 to 10.31 is a step of 3.1%, 10.31 to 10.61 one of 2.9%.
    assert warm_up(run, 60.0) == 10.61
    assert len(machine.runs) == 15
    shrinking = iter([10.0] * 5 + [9.69] * 5 + [9.41] * 5 + [1.0] * 5)
    assert warm_up(lambda: next(shrinking), 60.0) == 9.41


def test_the_uncertainty_of_a_median_is_relative_to_the_median():
    # Some runs are ten times as fast, as if their work were left out; the medians are alike.
    found = timing([[1.0, m, m + 1] for m in (9.8, 10, 10.2)], [[5.0, 5.0]] * 3)
    assert remarks(found, 5.0) == []
