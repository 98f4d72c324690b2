"""The trials of a search: from a proposal over its latency to its end, wherever it is trained."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nas.errors import ExhaustedError, MixnasError, UnrunnableError
from nas.executors.worker import Failure, Result, Task
from nas.latency import Device, Latency, measure_quietly
from nas.latency.prediction.predictor import Predictor
from nas.limits import Limit
from nas.search.results import References
from nas.spec import NetworkSpec
from nas.study import OpenTrial, SearchStudy

BATCH = 2  # networks a worker is given between two rounds of measuring
ATTEMPTS = 2  # at a latency, while the machine is noisy
HOPELESS = 8  # more trials without a result than three for each with one, before giving up


@dataclass
class TrialRunner:
    """Begins and ends trials.

    Attributes:
        path: of the run, for messages.
        study: that records them.
        device: measures latency.
        predictor: tells latency in its place, if there is one.
        bounds: limits on latency.
        references: networks judged beside.
        wanted: how many trials are to be completed.
    """

    path: Path
    study: SearchStudy
    device: Device
    predictor: Predictor | None
    bounds: list[Limit]
    references: References
    wanted: int
    running: dict[int, OpenTrial] = field(default_factory=dict)
    exhausted: bool = False
    _before: tuple[int, int] = (0, 0)  # trials that ended earlier, without a result and with one
    _reference_latencies: dict[str, Latency] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Count what an earlier process left: whoever resumes may have mended the cause."""
        self._before = (len(self.study.ended_without()), self.study.completed())

    @property
    def needs_quiet(self) -> bool:
        """Whether latency is measured on this machine, which must not train meanwhile."""
        return self.predictor is None and self.device.local

    @property
    def left(self) -> int:
        """How many more trials to begin, if none of those under way fails."""
        if self.exhausted:
            return 0
        return self.wanted - self.study.completed() - len(self.running)

    @property
    def seed(self) -> int:
        """Of the trainings."""
        return self.study.seed

    def room(self, waiting: int, training: int, workers: int) -> int:
        """Return how many trials to begin now.

        Args:
            waiting: tasks that no worker has taken yet.
            training: tasks under way.
            workers: that take them.
        """
        if self.needs_quiet:  # rounds of measuring alternate with rounds of training
            return 0 if training or self.running else min(self.left, BATCH * workers)
        return max(0, min(self.left, workers - waiting - training))

    def begin(self, n: int) -> list[OpenTrial]:
        """Begin trials that keep the limits on latency, at most `n`.

        Networks that break a limit, or cannot be run, end here.
        """
        found: list[OpenTrial] = []
        refused = 0
        while len(found) < n and refused < HOPELESS + 2 * n:
            try:
                trial = self.study.ask()
            except ExhaustedError:
                self.exhausted = True
                break
            if self._measured(trial):
                found.append(trial)
                self.running[trial.number] = trial
            else:
                refused += 1
        return found

    def _measured(self, trial: OpenTrial) -> bool:
        """Note a trial's latency; say whether the trial goes on."""
        try:
            latency = self._latency(trial.spec)
        except UnrunnableError as error:
            self.study.fail(trial, str(error))
            return False
        self.study.note_latency(trial, latency)
        for bound in self.bounds:
            if _surely_broken(bound, latency):
                source = "predicted " if latency.source == "predicted" else ""
                reason = f"{source}latency {latency.steady_ms:.2f} ms breaks {bound}"
                self.study.prune(trial, reason)
                return False
        return True

    def _latency(self, spec: NetworkSpec) -> Latency:
        if self.predictor is not None:
            return self.predictor.predict(spec, self.device.form_choice())
        return measure_quietly(self.device, spec, ATTEMPTS)

    def begin_references(self) -> dict[Any, Task]:
        """Measure the references that were not judged yet, and return their tasks."""
        self._reference_latencies = self.references.measure(self.device)
        return {
            name: Task(self.references.specs[name], self.seed) for name in self._reference_latencies
        }

    def task(self, trial: OpenTrial) -> Task:
        """Return what a worker is given."""
        return Task(trial.spec, self.seed)

    def end(self, key: int | str, result: Result) -> OpenTrial | None:
        """Record the result of a trial (by its number) or of a reference (by its name)."""
        if isinstance(key, str):
            self.references.note(key, self._reference_latencies[key], result, self.seed)
            return None
        trial = self.running.pop(key)
        if isinstance(result, Failure):
            self.study.fail(trial, result.reason)
        else:
            self.study.complete(trial, result)
        return trial

    def give_up(self, number: int, reason: str) -> None:
        """End a trial whose first stages are not worth going on with."""
        self.study.prune(self.running.pop(number), reason)

    def give_up_if_hopeless(self) -> None:
        """End a search that gets nowhere.

        Raises:
            MixnasError: with the commonest reason.
        """
        reasons = self.study.ended_without()[self._before[0] :]
        completed = self.study.completed() - self._before[1]
        if len(reasons) < HOPELESS + 3 * completed:
            return
        kinds = Counter(reason.partition(" breaks ")[2] or reason for reason in reasons)
        reason, times = kinds.most_common(1)[0]
        raise MixnasError(
            f"{len(reasons)} trials ended without a result and {completed} with one; {times} of "
            f"them: {reason}. Mend the cause, then continue with --resume {self.path}; or begin "
            f"anew with other limits: --config {self.path / 'config.yaml'} --limit ..."
        )


def _surely_broken(bound: Limit, latency: Latency) -> bool:
    """Tell whether a latency breaks a limit; a predicted one with its whole error bar."""
    if latency.source == "measured":
        return bound.violation(latency.steady_ms) > 0
    return min(bound.violation(latency.low_ms), bound.violation(latency.high_ms)) > 0
