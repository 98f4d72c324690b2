"""How latency is measured: what runs, in which order, how often, and when to stop.

A network and a reference network take turns. Slow changes of the machine (its clock, a host that
takes time away, other processes) meet both, so their ratio holds where times do not, and the
reference tells how the machine is doing.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from nas.latency.runtimes.base import Run

SETTLE_RUNS = 2  # after the other network, caches and threads are not what they will be
REFERENCE_RUNS = 5
STABLE = 0.03  # of two medians in a row, to end the warm-up
RESAMPLES = 400  # of the bootstrap
UNCERTAIN = 0.05  # half the width of the confidence interval, to be told
SLOWER = 1.15  # than usual, to be told


@dataclass(frozen=True)
class Effort:
    """How much time a measurement may take.

    Attributes:
        rounds: of reference and network, at least.
        round_seconds: of the network's runs in a round; at least four runs.
        seconds: after which no round begins.
        precision: half the width of the ratio's confidence interval that is enough.
        warm_seconds: the longest warm-up of each network.
    """

    rounds: int = 6
    round_seconds: float = 0.06
    seconds: float = 2.0
    precision: float = 0.01
    warm_seconds: float = 1.0


QUICK = Effort(rounds=5, round_seconds=0.03, seconds=0.6, precision=0.015, warm_seconds=0.3)
CAREFUL = Effort(rounds=12, seconds=6.0, precision=0.005, warm_seconds=2.0)


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


def time_in_turns(run: Run, reference: Run, effort: Effort = Effort()) -> Timing:
    """Time a network, the reference in between.

    Goes on until the ratio is known to `effort.precision`, or the time is over. Python's garbage
    collector is off meanwhile.
    """
    with _no_garbage_collection():
        warm_up(reference, effort.warm_seconds)
        median = warm_up(run, effort.warm_seconds)
        count = int(np.clip(effort.round_seconds * 1e3 / max(median, 1e-3), 4, 200))
        ours: list[np.ndarray] = []
        theirs: list[np.ndarray] = []
        stop = time.perf_counter() + effort.seconds
        while True:
            theirs.append(_runs(reference, REFERENCE_RUNS))
            ours.append(_runs(run, count))
            timing = Timing(tuple(ours), tuple(theirs))
            if len(ours) < effort.rounds:
                continue
            low, high = _bootstrap(timing.ratios())
            if time.perf_counter() > stop or (high - low) / 2 < effort.precision * timing.ratio:
                return timing


def warm_up(run: Run, seconds: float) -> float:
    """Run until two medians in a row agree, at most for some seconds; return the last one."""
    stop = time.perf_counter() + seconds
    median = float("nan")  # equal to nothing
    while True:
        before, median = median, float(np.median([run() for _ in range(5)]))
        if abs(median - before) <= STABLE * before or time.perf_counter() > stop:
            return median


def _runs(run: Run, count: int) -> np.ndarray:
    for _ in range(SETTLE_RUNS):
        run()
    return np.array([run() for _ in range(count)])


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
    slower = timing.reference_ms / usual_reference_ms
    if slower > SLOWER:
        found.append(f"the reference network took {slower:.2f} times its usual time")
    return found
