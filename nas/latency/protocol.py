"""How latency is measured: what runs, in which order, how often, and when to stop.

A network and a reference network take turns, a few runs each. Changes of the machine (its clock, a
host that takes time away, other processes) meet both, so their ratio holds where times do not, and
the reference tells how the machine is doing. The shorter the turns, the better they share.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from nas.latency.runtimes.base import TimedRun

SETTLE_RUNS = 1  # after the other network, caches and threads are not what they will be
RUNS = 3
REFERENCE_RUNS = 2
STABLE = 0.03  # of two medians in a row, to end the warm-up
CHECK_EVERY = 4  # rounds between two looks at the precision
RESAMPLES = 400  # of the bootstrap
UNCERTAIN = 0.05  # half the width of the median's confidence interval, to be told
UNCERTAIN_RATIO = 0.03  # the same of the ratio to the reference, which comparisons rest on
SLOWER = 1.15  # than usual, to be told


@dataclass(frozen=True)
class Effort:
    """How much time a measurement may take.

    Attributes:
        rounds: of reference and network, at least.
        seconds: after which no round begins beyond those at least.
        precision: half the width of the ratio's confidence interval that is enough.
        warm_seconds: the longest warm-up of each network.
    """

    rounds: int = 16
    seconds: float = 2.0
    precision: float = 0.005
    warm_seconds: float = 1.0


@dataclass(frozen=True)
class Timing:
    """Times of a network and of the reference beside, in milliseconds, by round."""

    rounds: tuple[np.ndarray, ...]
    reference: tuple[np.ndarray, ...]

    def percentiles(self) -> tuple[float, float, float]:
        """Return the 10th percentile, the median and the 90th percentile."""
        p10, p50, p90 = np.percentile(np.concatenate(self.rounds), [10, 50, 90])
        return float(p10), float(p50), float(p90)

    @property
    def n(self) -> int:
        """Timed runs of the network."""
        return sum(len(times) for times in self.rounds)

    @property
    def reference_ms(self) -> float:
        """The reference's median."""
        return float(np.median(np.concatenate(self.reference)))

    def ratios(self) -> np.ndarray:
        """Return the ratio of the medians, round by round."""
        pairs = zip(self.rounds, self.reference, strict=True)
        return np.array([np.median(ours) / np.median(theirs) for ours, theirs in pairs])

    @property
    def ratio(self) -> float:
        """The network's time in units of the reference's."""
        return float(np.median(self.ratios()))

    def ratio_error(self) -> float:
        """Return half the width of the ratio's 95% confidence interval, as a share of it."""
        low, high = _bootstrap(self.ratios())
        return (high - low) / 2 / self.ratio

    def interval(self) -> tuple[float, float]:
        """Return the 95% confidence interval of the median.

        By a bootstrap over rounds, since runs within a round are alike.
        """
        return _bootstrap(np.array([np.median(times) for times in self.rounds]))


def _bootstrap(medians: np.ndarray) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    drawn = rng.choice(medians, size=(RESAMPLES, len(medians)))
    low, high = np.percentile(np.median(drawn, axis=1), [2.5, 97.5])
    return float(low), float(high)


def time_in_turns(run: TimedRun, reference: TimedRun, effort: Effort = Effort()) -> Timing:
    """Time a network, the reference in between.

    Goes on until the ratio is known to `effort.precision`, or the time is over. Python's garbage
    collector is off meanwhile.
    """
    with _no_garbage_collection():
        warm_up(reference, effort.warm_seconds)
        warm_up(run, effort.warm_seconds)
        ours: list[np.ndarray] = []
        theirs: list[np.ndarray] = []
        stop = time.perf_counter() + effort.seconds
        while True:
            theirs.append(_runs(reference, REFERENCE_RUNS))
            ours.append(_runs(run, RUNS))
            late = time.perf_counter() > stop
            if len(ours) < effort.rounds or not (late or len(ours) % CHECK_EVERY == 0):
                continue
            timing = Timing(tuple(ours), tuple(theirs))
            if late or timing.ratio_error() < effort.precision:
                return timing


def warm_up(run: TimedRun, seconds: float) -> float:
    """Run until two medians in a row agree, at most for some seconds; return the last one."""
    stop = time.perf_counter() + seconds
    median = float("nan")  # equal to nothing
    while True:
        before, median = median, float(np.median([run() for _ in range(5)]))
        if abs(median - before) <= STABLE * before or time.perf_counter() > stop:
            return median


def _runs(run: TimedRun, count: int, settle: int = SETTLE_RUNS) -> np.ndarray:
    for _ in range(settle):
        run()
    return np.array([run() for _ in range(count)])


def medians_in_turns(
    runs: Mapping[str, TimedRun], rounds: int, count: int, settle: int
) -> dict[str, list[float]]:
    """Time any number of networks in turns.

    Args:
        runs: by name.
        rounds: turns of each.
        count: timed runs of a turn.
        settle: runs before them.

    Returns:
        The median of every turn, by name, in milliseconds.
    """
    medians: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            medians[name].append(float(np.median(_runs(run, count, settle))))
    return medians


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
    """Say what in the times themselves speaks of a machine that is not quiet."""
    found = []
    low, high = timing.interval()
    half = (high - low) / 2 / timing.percentiles()[1]
    if half > UNCERTAIN:
        found.append(f"the median is uncertain by {half:.0%}")
    half = timing.ratio_error()
    if half > UNCERTAIN_RATIO:
        found.append(f"the ratio to the reference network is uncertain by {half:.0%}")
    slower = timing.reference_ms / usual_reference_ms
    if slower > SLOWER:
        found.append(f"the reference network took {slower:.2f} times its usual time")
    elif slower < 1 / SLOWER:
        found.append(
            f"the reference network took {slower:.2f} times its usual time, so the device was "
            "examined while it was slow: python -m nas.device examine"
        )
    return found
