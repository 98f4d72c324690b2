"""The measurement protocol: which networks run, in what order, how often, and when to stop.

The network and a reference network alternate, a few runs each. Changes in the machine's speed (its
clock, time stolen by the host, other processes) affect both, so the ratio of their times is stable
where the times are not, and the reference shows the state of the machine. The shorter the turns,
the more evenly both are affected.

Without an interval, runs follow each other at once, and the time is that of a processor at work. An
application that looks at an image now and then finds a processor that has clocked down and whose
caches hold something else. With an interval, every run, timed or not, of the network or of the
reference, follows a pause of that length, in which this process sleeps; the time is that of a run
that follows a pause, without the pause. The limits on time hold with the pauses included, so there
are fewer runs.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from nas.latency.runtimes.base import TimedRun

SETTLE_RUNS = 1  # untimed runs of a turn: the other network has changed caches and threads
RUNS = 3
REFERENCE_RUNS = 2
STABLE = 0.03  # relative change between two consecutive medians that ends the warm-up
CHECK_EVERY = 4  # rounds between two checks of the precision
RESAMPLES = 400  # bootstrap resamples
# A slow network gets fewer runs: beyond this time, in seconds, one per turn, without a settling
# one, and the measurement ends as soon as there are enough rounds for an interval.
LONGEST = 30.0
FEWEST_ROUNDS = 3
# Thresholds above which `remarks` reports a disturbance.
UNCERTAIN = 0.05  # relative half-width of the median's confidence interval
UNCERTAIN_RATIO = 0.03  # the same for the ratio to the reference, on which comparisons rely
SLOWER = 1.15  # the reference's time relative to its usual time
UNEVEN = 1.2  # a ratio of medians relative to that of total times, or the reverse
_LONG_RUNS = 98  # percentile of times; a longer run counts as no longer, in a total


@dataclass(frozen=True)
class Effort:
    """The time that a measurement may take and the precision it aims for.

    Attributes:
        rounds: Minimum number of rounds; each runs the reference and then the network.
        seconds: Time, in seconds, after which no round is started beyond the minimum number. After
            `LONGEST`, `FEWEST_ROUNDS` are enough.
        precision: Relative half-width of the ratio's 95% confidence interval at which the
            measurement ends early.
        warm_seconds: Maximum warm-up time of each network, in seconds.
    """

    rounds: int = 16
    seconds: float = 2.0
    precision: float = 0.005
    warm_seconds: float = 1.0


@dataclass(frozen=True)
class Timing:
    """Times of a network and of the reference network, in milliseconds.

    Attributes:
        rounds: Times of the network, one array per round.
        reference: Times of the reference network, one array per round.
    """

    rounds: tuple[np.ndarray, ...]
    reference: tuple[np.ndarray, ...]

    def percentiles(self) -> tuple[float, float, float]:
        """Return the 10th percentile, the median and the 90th percentile."""
        p10, p50, p90 = np.percentile(np.concatenate(self.rounds), [10, 50, 90])
        return float(p10), float(p50), float(p90)

    @property
    def n(self) -> int:
        """Number of timed runs of the network."""
        return sum(len(times) for times in self.rounds)

    @property
    def reference_ms(self) -> float:
        """Median time of the reference network, in milliseconds."""
        return float(np.median(np.concatenate(self.reference)))

    def ratios(self) -> np.ndarray:
        """Return the ratio of the network's median to the reference's median for each round."""
        pairs = zip(self.rounds, self.reference, strict=True)
        return np.array([np.median(times) / np.median(reference) for times, reference in pairs])

    @property
    def ratio(self) -> float:
        """The network's time in units of the reference network's time."""
        return float(np.median(self.ratios()))

    def ratio_of_totals(self) -> float:
        """Return the ratio of the mean times, in which the longest, maybe outliers, are cut."""
        return _mean_without_outliers(self.rounds) / _mean_without_outliers(self.reference)

    def interrupted_unevenly(self, usual_reference_ms: float) -> bool:
        """Return whether other work interrupted one of the two networks more often than the other.

        The system lets a process run for a few milliseconds and then another. Most runs of a
        network that takes longer than that are interrupted, and few of one that takes less: medians
        contain the interruptions of the one and not those of the other.

        Args:
            usual_reference_ms: Usual time of the reference network, in milliseconds.
        """
        slowest = max(self.reference_ms, _mean_without_outliers(self.reference))
        if slowest <= SLOWER * usual_reference_ms:
            return False
        relative = self.ratio / self.ratio_of_totals()
        return not 1 / UNEVEN <= relative <= UNEVEN

    def steady_ms(self, usual_reference_ms: float) -> float:
        """Return the network's latency at the machine's usual speed, in milliseconds.

        It is the ratio to the reference in units of its usual time. Of networks that were
        interrupted unevenly, it is the ratio of their total times, which contain interruptions in
        proportion to the time that a network needs. Beside two processes at work on two cores, a
        network of 0.9 ms beside a reference of 2.4 ms seemed to take 42% of its true time by the
        ratio of medians, and takes 89% of it by that of totals.

        Args:
            usual_reference_ms: Usual time of the reference network, in milliseconds.
        """
        uneven = self.interrupted_unevenly(usual_reference_ms)
        return (self.ratio_of_totals() if uneven else self.ratio) * usual_reference_ms

    def ratio_error(self) -> float:
        """Return the half-width of the ratio's 95% confidence interval, relative to the ratio."""
        low, high = _bootstrap(self.ratios())
        return (high - low) / 2 / self.ratio

    def interval(self) -> tuple[float, float]:
        """Return the 95% confidence interval of the median, in milliseconds.

        It is a bootstrap over rounds because runs within a round are correlated.
        """
        return _bootstrap(np.array([np.median(times) for times in self.rounds]))


def _mean_without_outliers(rounds: Sequence[np.ndarray]) -> float:
    """Return the mean of all times, where the longest are taken to be as long as the next."""
    times = np.concatenate(rounds)
    # Not interpolated: of few runs, the longest alone would raise the cut.
    cut = np.percentile(times, _LONG_RUNS, method="lower")
    return float(np.minimum(times, cut).mean())


def _bootstrap(medians: np.ndarray) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    drawn = rng.choice(medians, size=(RESAMPLES, len(medians)))
    low, high = np.percentile(np.median(drawn, axis=1), [2.5, 97.5])
    return float(low), float(high)


def time_in_turns(
    run: TimedRun, reference: TimedRun, effort: Effort = Effort(), interval_ms: float = 0.0
) -> Timing:
    """Time a network in alternation with the reference network.

    The measurement ends when the ratio is known to within `effort.precision` or the time is up.
    Python's garbage collector is disabled during the measurement.

    Args:
        run: Runs the network once.
        reference: Runs the reference network once.
        effort: Time limits and target precision.
        interval_ms: Length of the pause before each run, in milliseconds.
    """
    run, reference = after_pauses(run, interval_ms), after_pauses(reference, interval_ms)
    with _no_garbage_collection():
        warm_up(reference, effort.warm_seconds)
        warm_up(run, effort.warm_seconds)
        rounds: list[np.ndarray] = []
        reference_rounds: list[np.ndarray] = []
        began = time.perf_counter()
        deadline = began + max(LONGEST, effort.seconds)
        while True:
            reference_rounds.append(_runs(reference, REFERENCE_RUNS, deadline=deadline))
            rounds.append(_runs(run, RUNS, deadline=deadline))
            now, fewest = time.perf_counter(), effort.rounds
            if now > deadline:
                fewest = min(fewest, FEWEST_ROUNDS)
            time_is_up = now > began + effort.seconds
            if len(rounds) < fewest or not (time_is_up or len(rounds) % CHECK_EVERY == 0):
                continue
            timing = Timing(tuple(rounds), tuple(reference_rounds))
            if time_is_up or timing.ratio_error() < effort.precision:
                return timing


def after_pauses(run: TimedRun, interval_ms: float) -> TimedRun:
    """Return a function that sleeps for the interval and then runs the network once."""
    if not interval_ms:
        return run

    def run_after_pause() -> float:
        time.sleep(interval_ms / 1e3)
        return run()

    return run_after_pause


def warm_up(run: TimedRun, seconds: float) -> float:
    """Run a network until two consecutive medians agree.

    Args:
        run: Runs the network once.
        seconds: Time limit in seconds; the network runs once at least.

    Returns:
        The last median, in milliseconds.
    """
    stop = time.perf_counter() + seconds
    median = float("nan")  # never agrees with the first median
    while True:
        previous, median = median, float(np.median(_runs(run, 5, settle=0, deadline=stop)))
        if abs(median - previous) <= STABLE * previous or time.perf_counter() > stop:
            return median


def _runs(
    run: TimedRun, count: int, settle: int = SETTLE_RUNS, deadline: float = math.inf
) -> np.ndarray:
    """Return the times of `count` runs after `settle` untimed ones; of one run after a deadline."""
    for _ in range(settle):
        if time.perf_counter() <= deadline:
            run()
    times = [run()]
    while len(times) < count and time.perf_counter() <= deadline:
        times.append(run())
    return np.array(times)


def medians_in_turns(
    runs: Mapping[str, TimedRun], rounds: int, count: int, settle: int
) -> dict[str, list[float]]:
    """Time any number of networks in alternation.

    Args:
        runs: The networks, by name.
        rounds: Number of turns of each network.
        count: Number of timed runs per turn.
        settle: Number of untimed runs at the start of each turn.

    Returns:
        The median of every turn in milliseconds, by name.
    """
    medians: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            medians[name].append(float(np.median(_runs(run, count, settle))))
    return medians


def lower_quartiles(
    runs: Mapping[str, TimedRun], rounds: int, count: int, settle: int
) -> dict[str, float]:
    """Time any number of networks in alternation, as `medians_in_turns`.

    Returns:
        The lower quartile of the medians in milliseconds, by name: a disturbance makes a turn
        slower, never faster.
    """
    medians = medians_in_turns(runs, rounds, count, settle)
    return {name: float(np.percentile(values, 25)) for name, values in medians.items()}


def refined(
    times: Mapping[str, float],
    runs: Mapping[str, TimedRun],
    seconds: float,
    rounds: tuple[int, int],
    count: int,
    settle: int,
) -> dict[str, float]:
    """Replace rough times by those of more turns, where there are several networks to compare.

    Args:
        times: Rough times in milliseconds, by name.
        runs: The networks that are worth more turns, by name.
        seconds: Time for each, unless it needs more for the fewest turns.
        rounds: Fewest and most turns of each.
        count: Number of timed runs per turn.
        settle: Number of untimed runs at the start of each turn.
    """
    if len(runs) < 2:
        return dict(times)
    turn_ms = (count + settle) * max(times[name] for name in runs)
    turns = int(np.clip(1000 * seconds / turn_ms, *rounds))
    return {**times, **lower_quartiles(runs, turns, count, settle)}


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def remarks(timing: Timing, usual_reference_ms: float) -> list[str]:
    """Return remarks on signs in the times that the machine was not quiet.

    Args:
        timing: Times of a measurement.
        usual_reference_ms: Usual time of the reference network, in milliseconds.
    """
    messages = []
    low, high = timing.interval()
    half_width = (high - low) / 2 / timing.percentiles()[1]
    if half_width > UNCERTAIN:
        messages.append(f"the median is uncertain by {half_width:.0%}")
    half_width = timing.ratio_error()
    if timing.interrupted_unevenly(usual_reference_ms):
        messages.append("other work interrupted the runs unevenly, so the latency is rough")
    elif half_width > UNCERTAIN_RATIO:
        messages.append(f"the ratio to the reference network is uncertain by {half_width:.0%}")
    slowdown = timing.reference_ms / usual_reference_ms
    if slowdown > SLOWER:
        messages.append(f"the reference network took {slowdown:.2f} times its usual time")
    elif slowdown < 1 / SLOWER:
        messages.append(
            f"the reference network took {slowdown:.2f} times its usual time, so the device was "
            "examined while it was slow: python -m nas.device examine"
        )
    return messages
