"""The trials of a search: from a proposal and its latency to its end, wherever it is trained."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from nas.errors import ExhaustedError, MixnasError, OutOfRangeError, UnrunnableError
from nas.executors.base import Failure, Key, Result, Task
from nas.latency import Device, Latency, measure_quietly
from nas.latency.prediction.predictor import Predictor
from nas.limits import Limit
from nas.search.references import References
from nas.spec import NetworkSpec
from nas.study import OpenTrial, SearchStudy

TRIALS_PER_WORKER = 2  # begun in one round of measuring, when measuring and training alternate
ATTEMPTS = 2  # at measuring a latency while the machine is noisy
MOST_IN_VAIN = 8  # trials without a result, beyond three for each with one, before giving up


@dataclass
class TrialRunner:
    """Begins and ends trials.

    Attributes:
        path: Run directory, for messages.
        study: Study that records the trials.
        device: Device that measures latency.
        predictor: Predictor that takes the device's place; None to measure.
        latency_limits: Limits on latency.
        references: Reference networks.
        wanted: Number of trials to complete.
        running: Trials under way, by number.
        exhausted: Why the sampler has no other network; empty as long as it has.
    """

    path: Path
    study: SearchStudy
    device: Device
    predictor: Predictor | None
    latency_limits: list[Limit]
    references: References
    wanted: int
    running: dict[int, OpenTrial] = field(default_factory=dict)
    exhausted: str = ""
    _earlier: tuple[int, int] = (0, 0)  # trials that ended before, without and with a result
    _reference_latencies: dict[str, Latency] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Count the trials that ended before; a resumed search ignores earlier failures."""
        self._earlier = (len(self.study.ended_without()), self.study.completed())

    @property
    def needs_quiet(self) -> bool:
        """Whether latency is measured on this machine, which must not train at the same time."""
        return self.predictor is None and self.device.local

    @property
    def left(self) -> int:
        """Number of trials that remain to begin, provided that none of those under way fails."""
        if self.exhausted:
            return 0
        return self.wanted - self.study.completed() - len(self.running)

    def room(self, waiting: int, training: int, workers: int) -> int:
        """Return how many trials to begin now.

        Args:
            waiting: Number of tasks that no worker has begun.
            training: Number of tasks under way.
            workers: Number of tasks that can run at the same time.
        """
        if self.needs_quiet:  # rounds of measuring alternate with rounds of training
            busy = training or self.running
            return 0 if busy else min(self.left, TRIALS_PER_WORKER * workers)
        return max(0, min(self.left, workers - waiting - training))

    def begin(self, n: int) -> dict[Key, Task]:
        """Begin at most `n` trials that keep the limits on latency; return their tasks.

        The trials of networks that break a limit, or that the device cannot run, end here.
        """
        tasks: dict[Key, Task] = {}
        refused = 0
        while len(tasks) < n and refused < MOST_IN_VAIN + 2 * n:
            try:
                trial = self.study.ask()
            except ExhaustedError as error:
                self.exhausted = str(error)
                break
            if self._keeps_limits(trial):
                self.running[trial.number] = trial
                tasks[trial.number] = Task(trial.spec, self.study.seed)
            else:
                refused += 1
        return tasks

    def _keeps_limits(self, trial: OpenTrial) -> bool:
        """Record a trial's latency; return whether the trial continues."""
        try:
            latency = self._latency(trial.spec)
        except UnrunnableError as error:
            self.study.fail(trial, str(error))
            return False
        self.study.note_latency(trial, latency)
        for limit in self.latency_limits:
            if _surely_broken(limit, latency):
                source = "predicted " if latency.source == "predicted" else ""
                reason = f"{source}latency {latency.steady_ms:.2f} ms breaks {limit}"
                self.study.prune(trial, reason)
                return False
        return True

    def _latency(self, spec: NetworkSpec) -> Latency:
        if self.predictor is not None:
            try:
                return self.predictor.predict(spec, self.device.form_choice())
            except OutOfRangeError:  # the table's latency_source tells
                pass
        return measure_quietly(self.device, spec, ATTEMPTS)

    def begin_references(self) -> dict[Key, Task]:
        """Measure the references that have not been evaluated; return their tasks, by name."""
        self._reference_latencies = self.references.measure(self.device)
        return {
            name: Task(self.references.specs[name], self.study.seed)
            for name in self._reference_latencies
        }

    def adopt(self, numbers: Collection[int]) -> bool:
        """Continue trials that an earlier process left running; return False if one has ended."""
        reopened = {number: self.study.reopen(number) for number in numbers}
        trials = {number: trial for number, trial in reopened.items() if trial is not None}
        if len(trials) < len(reopened):
            return False
        self.running |= trials
        return True

    def end(self, key: Key, result: Result) -> OpenTrial | None:
        """Record the result of a trial (by its number) or of a reference (by its name)."""
        if isinstance(key, str):
            latency = self._reference_latencies[key]
            self.references.add(key, latency, result, self.study.seed)
            return None
        trial = self.running.pop(key)
        if isinstance(result, Failure):
            self.study.fail(trial, result.reason)
        else:
            self.study.complete(trial, result)
        return trial

    def give_up(self, number: int, reason: str) -> None:
        """End a trial whose early stages do not justify the remaining ones."""
        self.study.prune(self.running.pop(number), reason)

    def check_progress(self) -> None:
        """End a search that makes no progress.

        Raises:
            MixnasError: If trial after trial ends without a result; with the most common reason.
        """
        reasons = self.study.ended_without()[self._earlier[0] :]
        completed = self.study.completed() - self._earlier[1]
        if len(reasons) < MOST_IN_VAIN + 3 * completed:
            return
        kinds = Counter(reason.partition(" breaks ")[2] or reason for reason in reasons)
        reason, times = kinds.most_common(1)[0]
        raise MixnasError(
            f"{len(reasons)} trials ended without a result and {completed} with one; the most "
            f"common reason ({times} times): {reason}. Remove the cause, then continue with "
            f"--resume {shlex.quote(str(self.path))}; or start again with other limits: --config "
            f"{shlex.quote(str(self.path / 'config.yaml'))} --limit ..."
        )


def _surely_broken(limit: Limit, latency: Latency) -> bool:
    """Return whether a latency breaks a limit; a predicted one, throughout its error bar."""
    if latency.source == "measured":
        return limit.violation(latency.steady_ms) > 0
    return min(limit.violation(latency.low_ms), limit.violation(latency.high_ms)) > 0
