"""The progress of a search: a bar on a terminal, one line per trial elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from rich.console import Console

from analysis.schema import RAW_SCORE
from analysis.units import score_text
from nas import cli
from nas.accuracy import Estimate
from nas.executors.base import Failure, Result
from nas.progress import LINE_SECONDS, time_left
from nas.samplers.known_cost.improvement import nondominated
from nas.study import OpenTrial, SearchStudy
from nas.units import format_count, number_of


@dataclass
class SearchMonitor:
    """Shows the progress of a search.

    Attributes:
        study: Study of the search.
        trials: Number of trials to complete.
        console: Where to show it.
        so_far: The front so far, in words.
        is_accuracy: Whether scores are accuracies, which are shown in percent.
        clock: Returns the time in seconds.
    """

    study: SearchStudy
    trials: int
    console: Console
    so_far: str = "training"
    is_accuracy: bool = True
    clock: Callable[[], float] = time.monotonic
    _front: np.ndarray = field(default_factory=lambda: np.empty((0, 2)))  # milliseconds, scores

    def __post_init__(self) -> None:
        self.progress = cli.new_progress(self.console)
        self._done_before = self.study.completed()
        table = self.study.table()
        # Later trials are added by their estimates, too.
        columns = ["latency_ms", RAW_SCORE]
        done = table[table["state"] == "complete"].dropna(subset=columns)
        self._add_to_front(done[columns].to_numpy(float))
        self._begun = self._front_told = self.clock()
        self._last_line = -math.inf
        self._bar = self.progress.add_task(
            "measuring", total=self.trials, completed=self._done_before
        )

    def say(self, text: str) -> None:
        """Show what the search is doing; where there is no bar, in a line now and then."""
        self.progress.update(self._bar, description=text, refresh=True)
        if not self.console.is_terminal and self.clock() - self._last_line >= LINE_SECONDS:
            self._print(text)

    def _print(self, text: str, ending: str = "") -> None:
        line = f"[{self.study.completed()}/{self.trials}] {text}{ending}"
        self.progress.console.print(line, soft_wrap=True)
        self._last_line = self.clock()

    def trial_ended(self, trial: OpenTrial, result: Result) -> None:
        """Show the result of a trial."""
        if isinstance(result, Estimate) and trial.latency is not None:
            self._add_to_front(np.array([[trial.latency.steady_ms, result.score]]))
        completed = self.study.completed()
        if not self.console.is_terminal:
            seconds, done = self.clock() - self._begun, completed - self._done_before
            left = time_left(seconds, done, self.trials - completed)
            self._print(
                _line(trial, result, self.is_accuracy), left if seconds > LINE_SECONDS else ""
            )
            # The line of a trial postpones those of `say`, so the front has a time of its own.
            if len(self._front) and self.clock() - self._front_told >= LINE_SECONDS:
                self._front_told = self.clock()
                self._print(self.so_far)
            return
        self.progress.update(self._bar, completed=completed, description=self.so_far, refresh=True)

    def _add_to_front(self, networks: np.ndarray) -> None:
        """Add networks that are on the front: milliseconds and scores, shape (n, 2)."""
        if not len(networks):
            return
        found = np.concatenate([self._front, networks])
        front = found[nondominated(found[:, 1], found[:, :1])]
        self._front = front[np.argsort(front[:, 0])]
        ends = dict.fromkeys(map(tuple, self._front[[0, -1]]))
        self.so_far = f"front of {number_of(len(self._front), 'network')}: " + " to ".join(
            f"{score_text(value, self.is_accuracy)} at {ms:.2f} ms" for ms, value in ends
        )


def _line(trial: OpenTrial, result: Result, is_accuracy: bool) -> str:
    if isinstance(result, Failure):
        return f"trial {trial.number} failed: {result.reason}"
    latencies = [latency.steady_ms for latency in trial.latencies.values()] or [math.nan]
    times = " / ".join(f"{milliseconds:.2f}" for milliseconds in latencies)
    return (
        f"trial {trial.number}: {score_text(result.score, is_accuracy)}, {times} ms, "
        f"{format_count(trial.cost.madds)} MAdds, {result.seconds:.0f} s"
    )
