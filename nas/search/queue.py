"""The queue of a search: its trials and references as the tasks of an executor."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from nas.executors.base import Failure, Key, Result, Stage, Task
from nas.search.monitor import SearchMonitor
from nas.search.tables import RunTables
from nas.search.trials import TrialRunner
from nas.study import GIVEN_UP

TABLES_SECONDS = 10.0  # at the least, between two writings of the tables
TABLES_SHARE = 0.05  # of a search's time that may go into its tables, which grow with the trials


@dataclass
class TrialQueue:
    """Hands the networks of a search to its executor; a `nas.executors.base.TaskQueue`.

    Trials are identified by their number, references by their name.

    Attributes:
        runner: Begins and ends the trials.
        tables: Tables of the run, written now and then.
        monitor: Shows the progress.
        interrupted: Tells whether the user pressed Ctrl-C.
    """

    runner: TrialRunner
    tables: RunTables
    monitor: SearchMonitor
    interrupted: Callable[[], bool]
    _references_begun: bool = False
    _tables_due: float = 0.0

    @property
    def finished(self) -> bool:
        """See `TaskQueue`."""
        return self._references_begun and self.runner.left <= 0

    def take(self, waiting: int, running: int, workers: int) -> Mapping[Key, Task]:
        """See `TaskQueue`; references come first.

        Raises:
            KeyboardInterrupt: If the user pressed Ctrl-C and a library swallowed the exception.
            MixnasError: If trial after trial ends without a result.
        """
        if self.interrupted():
            raise KeyboardInterrupt
        self.runner.check_progress()
        tasks: dict[Key, Task] = {}
        # Adopted trials may be training here, which would disturb the references' latency.
        if not self._references_begun and not (running and self.runner.needs_quiet):
            self._references_begun = True
            tasks |= self.runner.begin_references()
        room = self.runner.room(waiting + len(tasks), running, workers)
        if room > 0:
            self.monitor.say("measuring" if self.runner.needs_quiet else self.monitor.so_far)
            tasks |= self.runner.begin(room)
            self.monitor.say(self.monitor.so_far)
        return tasks

    def adopt(self, keys: Collection[Key]) -> bool:
        """See `TaskQueue`; references are not adopted, since their latency is not recorded."""
        return all(isinstance(key, int) for key in keys) and self.runner.adopt(keys)

    def finish(self, key: Key, result: Result) -> None:
        """See `TaskQueue`."""
        trial = self.runner.end(key, result)
        begun = time.monotonic()
        if begun > self._tables_due:
            self.tables.save()
            written = time.monotonic()
            self._tables_due = written + max(TABLES_SECONDS, (written - begun) / TABLES_SHARE)
        if trial is not None:
            self.monitor.trial_ended(trial, result)
        self.runner.check_progress()

    def give_up(self, key: Key, stage: Stage) -> None:
        """See `TaskQueue`."""
        if isinstance(key, str):  # a reference is never compared with the trials
            self.finish(key, Failure("stopped early"))
            return
        score = 0.0 if isinstance(stage.result, Failure) else stage.result.score
        self.runner.give_up(
            key,
            f"{GIVEN_UP} after stage {stage.number} with {score:.4g}: others were better (ASHA)",
        )
