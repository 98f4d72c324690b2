"""What happens to the tasks of a Ray cluster whose processes or nodes die.

Such a task is handed to Tune again, as another trial of Tune's. Tune's own restarts end a trial
that meets a dead process when it is given to it, since they count that death twice.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler

from nas.executors.base import Key

# Restarts of a task whose process or node died, before it has failed. What a network does ends its
# child process alone, so such a death is the cluster's fault.
RESTARTS = 8
REDUCTION = 3  # factor from one stage to the next by which ASHA reduces the number of trials
_LONGEST_PAUSE = 20.0  # seconds before a task is restarted
_UNFINISHED = "Trials did not complete"  # how Tune's message on its dead trials begins


class Restarts:
    """Tasks whose process or node died, from the death until they start again.

    A task waits longer after each death. When a node dies, Ray places processes on it until it has
    noticed, and each task that is restarted at once would die there again.
    """

    def __init__(self) -> None:
        """Start without deaths."""
        self._deaths: Counter[Key] = Counter()
        self._waiting: list[tuple[float, dict[str, Any]]] = []  # when, and Tune's configuration

    def __len__(self) -> int:
        """Return the number of tasks that wait."""
        return len(self._waiting)

    def add(self, config: dict[str, Any]) -> bool:
        """Let a task wait: 1 s at its first death, 2 s at the second, and so on up to 20 s.

        Args:
            config: What Tune was given for it; ``key`` tells which task it is.

        Returns:
            Whether it will start again; False if it was restarted often enough.
        """
        deaths = self._deaths[config["key"]] = self._deaths[config["key"]] + 1
        if deaths > RESTARTS:
            return False
        pause = min(2.0 ** (deaths - 1), _LONGEST_PAUSE)
        self._waiting.append((time.monotonic() + pause, config))
        return True

    def due(self) -> dict[str, Any] | None:
        """Return a task that has waited long enough, if there is one; it does not wait any more."""
        for at in range(len(self._waiting)):
            if self._waiting[at][0] <= time.monotonic():
                return self._waiting.pop(at)[1]
        return None


class _ForgetsDeaths(TrialScheduler):  # type: ignore[misc]
    """A scheduler that leaves nothing of a trial that died, since another one takes its place."""

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Have the death written down, and free the trial's place among those of its stages."""
        super().on_trial_error(tune_controller, trial)
        # Else a later process would find the trial as it was before, and run it again.
        tune_controller._mark_trial_to_checkpoint(trial)
        for bracket in getattr(self, "_brackets", ()):
            for _, scores in bracket._rungs:
                scores.pop(trial.trial_id, None)


class FirstComeScheduler(_ForgetsDeaths, FIFOScheduler):  # type: ignore[misc]
    """Runs trials in their order."""


class StagesScheduler(_ForgetsDeaths, ASHAScheduler):  # type: ignore[misc]
    """Stops the poorer trials after each stage (asynchronous successive halving)."""


def scheduler_of(stages: int) -> TrialScheduler:
    """Return the scheduler for an estimator.

    Args:
        stages: Number of its stages.
    """
    if stages == 1:
        return FirstComeScheduler()
    return StagesScheduler(
        time_attr="stage", max_t=stages, grace_period=1, reduction_factor=REDUCTION
    )


@contextmanager
def without_dead_trials() -> Iterator[None]:
    """Keep Tune from listing its dead trials at the end: other trials have done their tasks."""

    def wanted(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(_UNFINISHED)

    logger = logging.getLogger("ray.tune.tune")
    logger.addFilter(wanted)
    try:
        yield
    finally:
        logger.removeFilter(wanted)
