"""The trials of a search: from a proposal and its latency to its end, wherever it is trained."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nas.errors import ExhaustedError, MixnasError, UnrunnableError
from nas.executors.base import Failure, Key, Result, Task
from nas.latency import Latency
from nas.limits import Limit
from nas.search.devices import SearchDevice
from nas.search.references import References
from nas.study import OpenTrial, SearchStudy

TRIALS_PER_WORKER = 2  # begun in one round of measuring, when measuring and training alternate
MOST_IN_VAIN = 8  # trials without a result, beyond three for each with one, before giving up


@dataclass
class TrialRunner:
    """Begins and ends trials.

    Attributes:
        path: Run directory, for messages.
        study: Study that records the trials.
        devices: Devices whose latencies count, the first one first.
        references: Reference networks.
        wanted: Number of trials to complete.
        running: Trials under way, by number.
        exhausted: Why the sampler has no other network; empty as long as it has.
    """

    path: Path
    study: SearchStudy
    devices: Sequence[SearchDevice]
    references: References
    wanted: int
    running: dict[int, OpenTrial] = field(default_factory=dict)
    exhausted: str = ""
    _earlier: tuple[int, int] = (0, 0)  # trials that ended before, without and with a result
    _reference_latencies: dict[str, dict[str, Latency]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Count the trials that ended before; a resumed search ignores earlier failures."""
        self._earlier = (len(self.study.ended_without()), self.study.completed())

    @property
    def needs_quiet(self) -> bool:
        """Whether latency is measured on this machine, which must not train at the same time."""
        return any(device.needs_quiet for device in self.devices)

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

        The trials of networks that no device admits, or that a device cannot run, end here: with
        several devices, a network that breaks the limits of one is of use on the others.
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
        """Record a trial's latencies; return whether the trial continues."""
        broken: list[tuple[Latency, Limit]] = []
        for device in self.devices:
            try:
                latency = device.latency(trial.spec)
            except UnrunnableError as error:
                where = f"{device.name}: " if len(self.devices) > 1 else ""
                self.study.fail(trial, f"{where}{error}")
                return False
            self.study.note_latency(trial, latency, device.name)
            if limit := device.broken(latency):
                broken.append((latency, limit))
        if len(broken) < len(self.devices):
            return True
        self.study.prune(trial, _reason(broken))
        return False

    def begin_references(self) -> dict[Key, Task]:
        """Measure the references that have not been evaluated; return their tasks, by name."""
        self._reference_latencies = self.references.measure(self.devices)
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
            latencies = self._reference_latencies[key]
            self.references.add(key, latencies, result, self.study.seed, self.devices)
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
        kinds = Counter(re.split(" breaks? ", reason, maxsplit=1)[-1] for reason in reasons)
        reason, times = kinds.most_common(1)[0]
        raise MixnasError(
            f"{len(reasons)} trials ended without a result and {completed} with one; the most "
            f"common reason ({times} times): {reason}. Remove the cause, then continue with "
            f"--resume {shlex.quote(str(self.path))}; or start again with other limits: --config "
            f"{shlex.quote(str(self.path / 'config.yaml'))} --limit ..."
        )


def _reason(broken: Sequence[tuple[Latency, Limit]]) -> str:
    """Return why the latencies of a network end its trial."""
    latencies = " and ".join(
        f"{'predicted ' if latency.source == 'predicted' else ''}latency {latency.steady_ms:.2f} ms"
        for latency, _ in broken
    )
    verb = "breaks" if len(broken) == 1 else "break"
    return f"{latencies} {verb} {' and '.join(str(limit) for _, limit in broken)}"
