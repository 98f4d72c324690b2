"""The progress of a search: a bar on a terminal, one line per trial elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console

from analysis.units import score_text
from nas import cli
from nas.accuracy import Estimate
from nas.executors.base import Failure, Result
from nas.progress import LINE_SECONDS
from nas.study import OpenTrial, SearchStudy
from nas.units import format_count


@dataclass
class SearchMonitor:
    """Shows the progress of a search.

    Attributes:
        study: Study of the search.
        trials: Number of trials to complete.
        console: Where to show it.
        best: The best network so far, in words.
        is_accuracy: Whether scores are accuracies, which are shown in percent.
        clock: Returns the time in seconds.
    """

    study: SearchStudy
    trials: int
    console: Console
    best: str = "training"
    is_accuracy: bool = True
    clock: Callable[[], float] = time.monotonic
    _best: tuple[float, float] = (-math.inf, 0.0)

    def __post_init__(self) -> None:
        self.progress = cli.new_progress(self.console)
        done = self.study.completed()
        self._last_line = self.clock()
        self._bar = self.progress.add_task("measuring", total=self.trials, completed=done)

    def say(self, text: str) -> None:
        """Show what the search is doing; where there is no bar, in a line now and then."""
        self.progress.update(self._bar, description=text, refresh=True)
        if not self.console.is_terminal and self.clock() - self._last_line >= LINE_SECONDS:
            self._print(text)

    def _print(self, text: str) -> None:
        line = f"[{self.study.completed()}/{self.trials}] {text}"
        self.progress.console.print(line, soft_wrap=True)
        self._last_line = self.clock()

    def trial_ended(self, trial: OpenTrial, result: Result) -> None:
        """Show the result of a trial."""
        if isinstance(result, Estimate) and trial.latency is not None:
            rank = (result.score, -trial.latency.steady_ms)
            if rank > self._best:
                self._best = rank
                score = score_text(result.score, self.is_accuracy)
                self.best = f"best {score} at {trial.latency.steady_ms:.2f} ms"
        if not self.console.is_terminal:
            self._print(_line(trial, result, self.is_accuracy))
            return
        completed = self.study.completed()
        self.progress.update(self._bar, completed=completed, description=self.best, refresh=True)


def _line(trial: OpenTrial, result: Result, is_accuracy: bool) -> str:
    if isinstance(result, Failure):
        return f"trial {trial.number} failed: {result.reason}"
    latencies = [latency.steady_ms for latency in trial.latencies.values()] or [math.nan]
    times = " / ".join(f"{milliseconds:.2f}" for milliseconds in latencies)
    return (
        f"trial {trial.number}: {score_text(result.score, is_accuracy)}, {times} ms, "
        f"{format_count(trial.cost.madds)} MAdds, {result.seconds:.0f} s"
    )
