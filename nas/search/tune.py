"""Trials on a Ray cluster: Ray Tune with OptunaSearch, around the search's own study.

The study is the source of truth. Tune decides where and when a trial runs, and stops bad ones early
if the estimator has stages. A task whose node dies is handed to Tune again, as another trial of
Tune's; see `nas.executors.ray_restarts`.
"""

from __future__ import annotations

import dataclasses
import json
import math
import platform
import time
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import ray
from ray import cloudpickle, tune
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from nas import cli
from nas.accuracy.base import Estimate, Estimator, PortableEstimator, number_of_stages
from nas.errors import MixnasError
from nas.executors.base import Failure, Key, Resources, Result, Stage, Task, TaskQueue
from nas.executors.local import LocalExecutor
from nas.executors.ray_cluster import cluster_cpus, cluster_gpus
from nas.executors.ray_restarts import RESTARTS, Restarts, scheduler_of, without_dead_trials
from nas.files import cache_folder
from nas.imports import own_packages_first
from nas.named import network_from_yaml
from nas.units import GIBIBYTE

GPU_WORKER_BYTES = 8 * GIBIBYTE  # main memory that a process on a GPU may take at the least
_LIVE = "live.json"
_LAST_MOMENTS = 3.0  # seconds between a child's death and this process's, on a node that goes down


class NetworkTrial(tune.Trainable):  # type: ignore[misc]
    """Evaluates networks one at a time in a process of its own, as the local executor does."""

    def setup(
        self,
        config: dict[str, Any],
        estimator: bytes,
        state: bytes | None,
        resources: Resources,
    ) -> None:
        """See `tune.Trainable`.

        The estimator arrives pickled, so that an error in loading it becomes a result.
        """
        self._executor: LocalExecutor | None = None
        self._answer = False
        own_packages_first()
        try:
            memory = resources.node_allowance
            if ray.get_gpu_ids():  # its context alone takes gigabytes, however few its cores are
                memory = max(memory, GPU_WORKER_BYTES)
            resources = dataclasses.replace(resources, memory=memory)
            loaded = cloudpickle.loads(estimator)
            if state is not None:
                loaded.import_state(state)
            self._executor = LocalExecutor(loaded, resources)
        except Exception as error:
            self._problem = (
                f"the estimator cannot be loaded on node {platform.node()}: "
                f"{type(error).__name__}: {error}"
            )
        self._begin(config)

    def _begin(self, config: dict[str, Any]) -> None:
        if self._executor is None:
            return
        spec = network_from_yaml(config["spec"])
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
        # Tune also sets "done" for a trial that it stops early, so "last" says what really was.
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
                    # next, the network is not to blame, and the task starts again elsewhere.
                    time.sleep(_LAST_MOMENTS)
                return stage

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next network, in the process that is already running."""
        if self._answer and self._executor is not None:
            self._executor.proceed(0, further=False)
        self._begin(new_config)
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Keep nothing: an interrupted trial starts over."""

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Start over."""

    def cleanup(self) -> None:
        """End the process."""
        if self._executor is not None:
            self._executor.stop()


class StudySearch(OptunaSearch):  # type: ignore[misc]
    """Hands the tasks of a queue to Tune, and Tune's results to the queue.

    `OptunaSearch` would keep a study of its own; this works on the search's, which writes trials in
    one transaction, measures latency and keeps limits.
    """

    def __init__(self, queue: TaskQueue, live: dict[str, dict[str, Any]], workers: int) -> None:
        """Take the queue.

        Args:
            queue: Hands out tasks and receives results.
            live: What Tune was given for the tasks that were adopted, by Tune's trial id.
            workers: Number of trials that can run at the same time.
        """
        super().__init__(metric="score", mode="max")
        self._queue = queue
        self._workers = workers
        self._ready: dict[Key, Task] = {}
        self._live = dict(live)
        self._restarts = Restarts()
        self.problem: Exception | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave the queue out of Tune's snapshots."""
        return {"_metric": self._metric, "_mode": self._mode, "_live": self._live}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return the next network; None if there is none yet, FINISHED if there will be none."""
        try:
            return self._suggest(trial_id)
        except Exception as error:  # Tune would hang on it; `TuneExecutor.drain` raises it
            self.problem = error
            return str(Searcher.FINISHED)

    def _suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        if self.problem is not None:
            return str(Searcher.FINISHED)
        config = self._restarts.due() or self._new()
        if config is not None:
            self._live[trial_id] = config
            return config
        more = self._live or self._restarts or not self._queue.finished
        return None if more else str(Searcher.FINISHED)

    def _new(self) -> dict[str, Any] | None:
        if not self._ready:
            waiting, running = len(self._restarts), len(self._live)
            self._ready = dict(self._queue.take(waiting, running, self._workers))
        if not self._ready:
            return None
        key = next(iter(self._ready))
        task = self._ready.pop(key)
        return {"key": key, "seed": task.seed, "spec": task.spec.to_yaml()}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Do nothing: the queue learns of ends only."""

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell the queue how a trial ended, unless its task is to start again."""
        config = self._live.pop(trial_id, None)
        if config is None or self.problem is not None:
            return
        try:
            if not error and result is not None:
                self._ended(config["key"], result)
            elif self._restarts.add(config):
                name = network_from_yaml(config["spec"]).name
                cli.print_text(f"{name}: its worker or its node died; it starts again", error=True)
            else:
                deaths = Failure(f"its worker or its node died {RESTARTS + 1} times")
                self._queue.finish(config["key"], deaths)
        except Exception as problem:  # as in `suggest`
            self.problem = problem

    def _ended(self, key: Key, result: dict[str, Any]) -> None:
        if result["last"]:
            self._queue.finish(key, _result(result))
        else:
            self._queue.give_up(key, Stage(_result(result), result["stage"], False))

    def save(self, checkpoint_path: str) -> None:
        """Record which tasks Tune's trials work on."""
        text = json.dumps(self._live)
        Path(checkpoint_path).write_text(text, encoding="utf-8")
        (Path(checkpoint_path).parent / _LIVE).write_text(text, encoding="utf-8")

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: the constructor was given what was live."""


def _result(result: dict[str, Any]) -> Result:
    if result["failure"] is not None:
        return Failure(result["failure"])
    return Estimate(**{field.name: result[field.name] for field in fields(Estimate)})


class TuneExecutor:
    """Evaluates networks on a Ray cluster, under Ray Tune; an `Executor`."""

    def __init__(self, estimator: Estimator, resources: Resources, gpus: float, name: str) -> None:
        """Take what trials need; `nas.executors.ray_cluster.connect` was called.

        Args:
            estimator: Estimator of accuracy.
            resources: Resources of one trial's process; its workers limit how many run at once.
            gpus: GPUs of one trial.
            name: Name of the state that Tune keeps between two processes.
        """
        self._estimator = estimator
        self._resources = resources
        self._gpus = gpus
        # The folder holds pickles. It lies in the user's cache and not in the run directory, which
        # may come from somebody else.
        self._folder = cache_folder("ray") / name
        self._live: dict[str, dict[str, Any]] = {}
        self._restored: tune.Tuner | None = None  # what an earlier process left

    def __enter__(self) -> TuneExecutor:
        """Return the executor."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Do nothing: Tune stops its trials when it ends."""

    def recover(self, queue: TaskQueue) -> list[Key]:
        """See `Executor`.

        Tune can continue if the queue adopts every task that Tune believes to be running.
        Otherwise the study, which may have been continued elsewhere, knows better, and its
        unfinished trials start over.
        """
        try:
            live = json.loads((self._folder / _LIVE).read_text(encoding="utf-8"))
            keys = [config["key"] for config in live.values()]
        except (OSError, ValueError, AttributeError, TypeError, KeyError):  # none, or damaged
            return []
        if not keys:  # Tune would take up its search, which may have ended, and nothing else
            return []
        # First of all whether Tune can, since what a queue was told to adopt must be finished.
        restored = self._restore()
        if restored is None or not queue.adopt(keys):
            return []
        self._live, self._restored = live, restored
        return keys

    def _restore(self) -> tune.Tuner | None:
        """Return Tune's state of an earlier process; None if there is none that can be used."""
        if not tune.Tuner.can_restore(str(self._folder)):
            return None
        try:
            return tune.Tuner.restore(str(self._folder), self._trainable(), resume_unfinished=True)
        except Exception as error:  # the state is pickled: another version cannot load it
            cli.print_text(
                f"Ray Tune cannot restore its state ({type(error).__name__}: {error}); "
                "the unfinished trials start over",
                error=True,
            )
            return None

    def drain(self, queue: TaskQueue) -> None:
        """See `Executor`."""
        workers = trials_at_once(self._resources, self._gpus)
        search = StudySearch(queue, self._live, workers)
        with without_dead_trials():
            self._tuner(search, workers).fit()
        if search.problem is not None:
            raise search.problem
        if not queue.finished:
            raise MixnasError("Ray Tune ended before all trials were done; continue with --resume")

    def _tuner(self, search: StudySearch, workers: int) -> tune.Tuner:
        if self._restored is not None:
            # The restored tuner has a copy of the searcher without the queue.
            self._restored._local_tuner._tune_config.search_alg = search
            return self._restored
        stages = number_of_stages(self._estimator)
        return _new_tuner(self._trainable(), search, workers, stages, self._folder)

    def _trainable(self) -> Any:
        estimator = self._estimator
        state = estimator.export_state() if isinstance(estimator, PortableEstimator) else None
        parameters = {
            "estimator": cloudpickle.dumps(estimator),
            "state": state,
            "resources": dataclasses.replace(self._resources, workers=1),
        }
        return tune.with_resources(
            tune.with_parameters(NetworkTrial, **parameters),
            {"cpu": self._resources.threads, "gpu": self._gpus},
        )


def trials_at_once(resources: Resources, gpus: float) -> int:
    """Return how many trials a cluster has room for, at least one and at most all workers.

    Args:
        resources: Resources of one trial's process, and the number of workers.
        gpus: GPUs of one trial.
    """
    room = cluster_cpus() // resources.threads
    if gpus > 0:
        room = min(room, math.floor(cluster_gpus() / gpus + 1e-9))
    return min(resources.workers, max(1, room))


def _new_tuner(
    trainable: Any, search: StudySearch, workers: int, stages: int, folder: Path
) -> tune.Tuner:
    return tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            metric="score",
            mode="max",
            search_alg=search,
            scheduler=scheduler_of(stages),
            num_samples=-1,  # the queue says when it is enough
            max_concurrent_trials=workers,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: str(trial.trial_id),
        ),
        run_config=tune.RunConfig(
            name=folder.name,
            storage_path=str(folder.parent),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=0),  # `Restarts` does it
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
