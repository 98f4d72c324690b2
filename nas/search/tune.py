"""Trials on a Ray cluster: Ray Tune with OptunaSearch, around the search's own study.

The study is the truth. Tune decides where and when a trial runs, starts it again when its node
dies, and gives up bad ones early where the estimator has stages.
"""

from __future__ import annotations

import dataclasses
import json
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from ray import cloudpickle, tune
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from nas.accuracy.base import Estimate, Estimator, PortableEstimator, number_of_stages
from nas.errors import MixnasError
from nas.executors.local import LocalExecutor, Resources
from nas.executors.ray_cluster import cluster_cpus
from nas.executors.worker import Failure, Result, Stage, Task
from nas.files import cache_folder
from nas.search.trials import TrialRunner
from nas.spec import NetworkSpec
from nas.study import GIVEN_UP

DEATHS = 2  # of a trial's process or node, before the trial has failed
REDUCTION = 3  # of trials from one stage to the next, under ASHA
_LIVE = "live.json"
_LAST_MOMENTS = 3.0  # seconds between a child's death and this process's, on a node that goes down
Ended = Callable[[int | str, Result], None]


class NetworkTrial(tune.Trainable):  # type: ignore[misc]
    """Judges one network after the other in a process of its own, as the local executor does."""

    def setup(
        self, config: dict[str, Any], estimator: bytes, state: bytes | None, resources: Resources
    ) -> None:
        """See `tune.Trainable`; the estimator comes pickled: what goes wrong is then a result."""
        self._executor: LocalExecutor | None = None
        self._answer = False
        try:
            resources = dataclasses.replace(resources, memory=resources.node_allowance)
            judge = cloudpickle.loads(estimator)
            if state is not None:
                judge.unpack(state)
            self._executor = LocalExecutor(judge, resources)
        except Exception as error:
            self._problem = (
                f"the estimator cannot be loaded on node {platform.node()}: "
                f"{type(error).__name__}: {error}"
            )
        self._begin(config)

    def _begin(self, config: dict[str, Any]) -> None:
        if self._executor is None:
            return
        spec = NetworkSpec.from_yaml(config["spec"])
        self._executor.submit(0, Task(spec, config["seed"]))
        self._answer = False

    def step(self) -> dict[str, Any]:
        """Wait for the next stage."""
        stage = self._next_stage()
        self._answer = not stage.last
        values = (
            {"failure": stage.result.reason, "score": 0.0}
            if isinstance(stage.result, Failure)
            else {"failure": None, **asdict(stage.result)}
        )
        # Tune sets "done" of a trial that it gives up early as well.
        return {**values, "stage": stage.number, "last": stage.last, "done": stage.last}

    def _next_stage(self) -> Stage:
        if self._executor is None:
            return Stage(Failure(self._problem))
        if self._answer:
            self._executor.proceed(0)
        while True:
            for _, stage in self._executor.wait():
                if isinstance(stage.result, Failure) and stage.result.died:
                    # A node that goes down takes this process's child first. If this process is
                    # next, the network is not to blame, and Tune starts it again elsewhere.
                    time.sleep(_LAST_MOMENTS)
                return stage

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next network, in the process that is warm."""
        if self._answer and self._executor is not None:
            self._executor.proceed(0, further=False)
        self._begin(new_config)
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Keep nothing: a trial that is interrupted begins anew."""

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Begin anew."""

    def cleanup(self) -> None:
        """End the process."""
        if self._executor is not None:
            self._executor.stop()


class StudySearch(OptunaSearch):  # type: ignore[misc]
    """Hands the study's trials to Tune, and Tune's results to the study.

    In place of `OptunaSearch`'s own study it works on the search's, which writes trials in whole,
    measures latency and keeps limits.
    """

    def __init__(self, trials: TrialRunner, ended: Ended, workers: int) -> None:
        """Take the trials.

        Args:
            trials: begins and ends them.
            ended: told of every result.
            workers: trials that run at once.
        """
        super().__init__(metric="score", mode="max")
        self._trials = trials
        self._ended = ended
        self._workers = workers
        self._ready: dict[int | str, Task] = dict(trials.begin_references())
        self._live: dict[str, int | str] = {}
        self.problem: Exception | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave the study out of Tune's snapshots; `adopt` brings it back."""
        return {"_metric": self._metric, "_mode": self._mode, "_live": self._live}

    def adopt(self, live: dict[str, int | str]) -> None:
        """Go on with trials that an earlier process left running."""
        for trial_id, key in live.items():
            if isinstance(key, int):
                trial = self._trials.study.reopen(key)
                assert trial is not None  # `resumable` has looked
                self._trials.running[key] = trial
            self._live[trial_id] = key
            self._ready.pop(key, None)

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return the next network; None while there is none, FINISHED when there will be none."""
        try:
            return self._suggest(trial_id)
        except Exception as error:  # Tune would hang on it; `run_on_ray` raises it
            self.problem = error
            return str(Searcher.FINISHED)

    def _suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        if self.problem is not None:
            return str(Searcher.FINISHED)
        if not self._ready:
            room = self._trials.room(0, len(self._live), self._workers)
            if room > 0:
                begun = self._trials.begin(room)
                self._ready = {trial.number: self._trials.task(trial) for trial in begun}
        if not self._ready:
            self._trials.give_up_if_hopeless()
            more = self._live or self._trials.left > 0
            return None if more else str(Searcher.FINISHED)
        key = next(iter(self._ready))
        task = self._ready.pop(key)
        self._live[trial_id] = key
        return {"key": key, "seed": task.seed, "spec": task.spec.to_yaml()}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Do nothing: the study is told of ends."""

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell the study how a trial ended."""
        key = self._live.pop(trial_id, None)
        if key is None or self.problem is not None:
            return
        try:
            if result is not None and not result["last"] and not error:
                self._give_up(key, result)
            else:
                self._ended(key, _result(result, error))
            self._trials.give_up_if_hopeless()
        except Exception as problem:  # as in `suggest`
            self.problem = problem

    def _give_up(self, key: int | str, result: dict[str, Any]) -> None:
        if isinstance(key, str):  # a reference is never compared with the trials
            self._ended(key, Failure("stopped early"))
            return
        stage, score = result["stage"], result["score"]
        reason = f"{GIVEN_UP} after stage {stage} with {score:.4g}: others were better (ASHA)"
        self._trials.give_up(key, reason)

    def save(self, checkpoint_path: str) -> None:
        """Keep which of Tune's trials is which of the study's."""
        text = json.dumps(self._live)
        Path(checkpoint_path).write_text(text, encoding="utf-8")
        (Path(checkpoint_path).parent / _LIVE).write_text(text, encoding="utf-8")

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: `adopt` was called."""


def _result(result: dict[str, Any] | None, error: bool) -> Result:
    if error or result is None:
        return Failure(f"its worker or its node died {DEATHS + 1} times")
    if result["failure"] is not None:
        return Failure(result["failure"])
    return Estimate(**{field.name: result[field.name] for field in fields(Estimate)})


def experiment_folder(study: str) -> Path:
    """Return where Tune keeps its own state of a study.

    It holds pickles, so it lies in the user's cache and not in the run directory, which may come
    from somebody else.
    """
    return cache_folder("ray") / study


def resumable(trials: TrialRunner, folder: Path) -> dict[str, int | str]:
    """Return Tune's trials that an earlier process left running; empty if Tune cannot go on.

    It can when what it took for running is running in the study as well; otherwise the study,
    which may have gone on elsewhere, knows better, and its trials are begun anew.
    """
    try:
        live: dict[str, int | str] = json.loads((folder / _LIVE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    numbers = [key for key in live.values() if isinstance(key, int)]
    if len(numbers) < len(live) or any(trials.study.reopen(n) is None for n in numbers):
        return {}
    return live


def run_on_ray(
    trials: TrialRunner,
    estimator: Estimator,
    resources: Resources,
    gpus: float,
    study: str,
    live: dict[str, int | str],
    ended: Ended,
) -> None:
    """Run trials on the cluster until there are no more to begin.

    Args:
        trials: begins and ends them.
        estimator: judges networks.
        resources: of one trial's process; its workers are how many run at once, at most.
        gpus: of one trial.
        study: names Tune's state.
        live: what `resumable` returned.
        ended: told of every result.

    Raises:
        MixnasError: as `TrialRunner`.
    """
    workers = min(resources.workers, max(1, cluster_cpus() // resources.threads))
    alone = dataclasses.replace(resources, workers=1)
    search = StudySearch(trials, ended, workers)
    search.adopt(live)
    pickled = cloudpickle.dumps(estimator)
    state = estimator.state() if isinstance(estimator, PortableEstimator) else None
    trainable = tune.with_resources(
        tune.with_parameters(NetworkTrial, estimator=pickled, state=state, resources=alone),
        {"cpu": resources.threads, "gpu": gpus},
    )
    folder = experiment_folder(study)
    if live and tune.Tuner.can_restore(str(folder)):
        tuner = tune.Tuner.restore(str(folder), trainable, resume_unfinished=True)
        # The restored tuner has a copy of the searcher without the study.
        tuner._local_tuner._tune_config.search_alg = search
    else:
        tuner = _new_tuner(trainable, search, workers, number_of_stages(estimator), folder)
    tuner.fit()
    if search.problem is not None:
        raise search.problem
    if trials.left > 0 and not trials.exhausted:
        raise MixnasError("Ray Tune ended before all trials were done; continue with --resume")


def _new_tuner(
    trainable: Any, search: StudySearch, workers: int, stages: int, folder: Path
) -> tune.Tuner:
    scheduler: TrialScheduler = FIFOScheduler()
    if stages > 1:
        scheduler = ASHAScheduler(
            time_attr="stage", max_t=stages, grace_period=1, reduction_factor=REDUCTION
        )
    return tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            metric="score",
            mode="max",
            search_alg=search,
            scheduler=scheduler,
            num_samples=-1,  # the study says when it is enough
            max_concurrent_trials=workers,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: str(trial.trial_id),
        ),
        run_config=tune.RunConfig(
            name=folder.name,
            storage_path=str(folder.parent),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=DEATHS),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
