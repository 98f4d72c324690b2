"""The search behind ``python -m nas.search``: prepare, run trials, confirm, report."""

from __future__ import annotations

import math
import signal
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import optuna
from rich.console import Console

from analysis.read.runs import score_text
from nas import cli
from nas.accuracy import Estimate, Estimator, label_of
from nas.accuracy.preparation import prepare_estimator
from nas.cost import count
from nas.document import digest
from nas.errors import MixnasError
from nas.executors.local import LocalExecutor, Resources, default_resources
from nas.executors.worker import Failure, Result, Task
from nas.latency.prediction.predictor import Predictor
from nas.samplers import GenotypeSampler
from nas.search.components import (
    SearchComponents,
    open_components,
    open_sampler_of,
    prepare_device,
)
from nas.search.directory import RunDirectory, SearchConfig
from nas.search.provenance import provenance
from nas.search.results import References
from nas.search.retraining import RetrainingEstimator, RetrainingRun, wanted_networks
from nas.search.tables import RunTables
from nas.search.trials import TrialRunner
from nas.space import load_space
from nas.space.loader import find_document
from nas.space.sampling import sample
from nas.study import OpenTrial, SearchStudy
from nas.study.storage import open_storage
from nas.units import format_count

SAVED_EVERY = 10.0  # seconds between two writings of the tables, at least


@dataclass
class Search:
    """One search, from its settings to its report.

    Attributes:
        config: what was asked for.
        estimator: judges accuracy.
        retraining: of the best, at the end; None where that is not wanted.
        trials: begins and ends them.
        tables: what was found so far.
    """

    config: SearchConfig
    estimator: Estimator
    retraining: RetrainingEstimator | None
    trials: TrialRunner
    tables: RunTables
    _live: dict[str, int | str] = field(default_factory=dict)
    _stopped: bool = False
    _saved: float = 0.0

    @staticmethod
    def prepare(config: SearchConfig, path: Path, console: Console) -> Search:
        """Check everything that can be wrong, then make the run directory.

        Raises:
            MixnasError: when a setting is not possible; nothing has been written then.
        """
        document = find_document(config.space)
        components = open_components(config, load_space(config.space))
        sample(
            components.space, Random(config.seed), components.limits
        )  # raises when nothing is within
        RunDirectory.check_new(path)
        _prepare_estimator(components, config, console)
        predictor = prepare_device(components, config, console)
        sampler = open_sampler_of(components, config, predictor)
        if config.storage is not None:
            open_storage(config.storage)
        directory = RunDirectory.create(path)
        directory.lock()
        directory.write_space(document.data)
        directory.write_config(config)
        return _open(directory, config, components, predictor, sampler, new=True)

    @staticmethod
    def resume(directory: RunDirectory, config: SearchConfig, console: Console) -> Search:
        """Open a run that was interrupted, or that more trials are wanted of.

        Raises:
            MixnasError: when its files cannot be used.
        """
        directory.lock()
        components = open_components(config, load_space(str(directory.path / "space.yaml")))
        new = not directory.has_study(config)
        _prepare_estimator(components, config, console)
        predictor = prepare_device(components, config, console)
        sampler = open_sampler_of(components, config, predictor)
        directory.write_config(config)
        search = _open(directory, config, components, predictor, sampler, new)
        search._live = search._left_on_ray()
        search.trials.study.requeue([key for key in search._live.values() if isinstance(key, int)])
        return search

    def _left_on_ray(self) -> dict[str, int | str]:
        """Return what an earlier process left running on Ray, for Tune to go on with."""
        if self.config.ray is None:
            return {}
        from nas.search.tune import experiment_folder, resumable

        return resumable(self.trials, experiment_folder(self._tune_name))

    @property
    def _tune_name(self) -> str:
        """What Tune calls the run: names of folders may repeat, places do not."""
        place = str(self.tables.directory.path.resolve())
        return f"{self.config.study}-{digest(place)}"

    # -- the loop ---------------------------------------------------------------------------

    def run(self, console: Console) -> bool:
        """Search until the asked number of trials is complete.

        Returns:
            Whether it came to its end; False after Ctrl-C.

        Raises:
            MixnasError: when trial after trial ends without a result, or nothing can be written.
        """
        previous = signal.signal(signal.SIGINT, self._stop)
        path = self.tables.directory.path
        if console.is_terminal:
            console.print(f"run directory: {path}")
        watch = _Watch(self, console)
        finished = True
        try:
            with watch.progress:
                watch.say("measuring")
                if self.config.ray is None:
                    self._run_here(watch)
                else:
                    self._run_on_ray(watch)
                if self.trials.exhausted:
                    console.print("the space has no other network within the limits")
                self.tables.measure_front(
                    self.trials.device, lambda: watch.say("measuring the front")
                )
            self._confirm(console)
        except KeyboardInterrupt:
            console.print(f"stopped; continue with: python -m nas.search --resume {path}")
            finished = False
        except MixnasError:
            with suppress(MixnasError):  # a full disk takes no tables either; the cause is told
                self.tables.save()
            raise
        finally:
            signal.signal(signal.SIGINT, previous)
        self.tables.save()
        return finished

    def _confirm(self, console: Console) -> None:
        """Retrain the best networks and the references, longer and with several seeds."""
        if self.retraining is None:
            return
        found = self.tables.best_networks(wanted_networks(self.config))
        if not found:
            return
        prepare_estimator(self.retraining, "preparing to retrain the best", console)
        networks = {(name, "front"): spec for name, spec in found.items()}
        networks |= {(n, "reference"): spec for n, spec in self.trials.references.specs.items()}
        retraining_run = RetrainingRun(self.tables.directory, self.retraining, self.config.seed)
        # Here, whatever cluster the trials ran on; a limit for trials is none for what is longer.
        resources = Resources(min(self.config.workers, default_resources()[0]), self.config.threads)
        with cli.progress_bar(console, "retraining the best") as step:
            failures = retraining_run.run(networks, resources, step)
        for failure in failures:
            console.print(f"retraining failed: {failure}", markup=False, soft_wrap=True)

    def _stop(self, *_: object) -> None:
        self._stopped = True
        raise KeyboardInterrupt

    @property
    def _resources(self) -> Resources:
        return Resources(self.config.workers, self.config.threads, self.config.trial_timeout)

    def _run_on_ray(self, watch: _Watch) -> None:
        from nas.search.tune import run_on_ray

        run_on_ray(
            self.trials,
            self.estimator,
            self._resources,
            self.config.gpus,
            self._tune_name,
            self._live,
            lambda key, result: self._end(key, result, watch),
        )

    def _run_here(self, watch: _Watch) -> None:
        with LocalExecutor(self.estimator, self._resources) as executor:
            self._keep_busy(executor, watch)

    def _keep_busy(self, executor: LocalExecutor, watch: _Watch) -> None:
        """Give workers tasks until there is no more to begin; references come first."""
        waiting: dict[Any, Task] = self.trials.begin_references()
        while True:
            room = self.trials.room(len(waiting), executor.running, self.config.workers)
            if room > 0:
                watch.say("measuring" if self.trials.needs_quiet else watch.best)
                begun = self.trials.begin(room)
                waiting |= {trial.number: self.trials.task(trial) for trial in begun}
                watch.say(watch.best)
            if not waiting and not executor.running and self.trials.left <= 0:
                break
            self._submit(executor, waiting)
            for key, stage in executor.wait():
                if self._stopped:  # the exception may have been lost in a library's callback
                    raise KeyboardInterrupt
                if stage.last:
                    self._end(key, stage.result, watch)
                else:
                    executor.proceed(key)
            self.trials.give_up_if_hopeless()

    @staticmethod
    def _submit(executor: LocalExecutor, waiting: dict[Any, Task]) -> None:
        """Give free workers tasks, the longest first, so that they end together."""
        for key in sorted(waiting, key=lambda key: -count(waiting[key].spec).madds):
            if not executor.free:
                return
            executor.submit(key, waiting.pop(key))

    def _end(self, key: int | str, result: Result, watch: _Watch) -> None:
        trial = self.trials.end(key, result)
        if time.monotonic() - self._saved > SAVED_EVERY:
            self.tables.save()
            self._saved = time.monotonic()
        if trial is not None:
            watch.ended(trial, result)


@dataclass
class _Watch:
    """Shows how a search goes: a bar on a terminal, a line a trial elsewhere."""

    search: Search
    console: Console
    best: str = "training"
    _best: tuple[float, float] = (-math.inf, 0.0)

    def __post_init__(self) -> None:
        self.progress = cli.new_progress(self.console)
        total, done = self.search.config.trials, self.search.trials.study.completed()
        self._bar = self.progress.add_task("measuring", total=total, completed=done)

    def say(self, text: str) -> None:
        """Show what is being done."""
        self.progress.update(self._bar, description=text, refresh=True)

    def ended(self, trial: OpenTrial, result: Result) -> None:
        """Show that a trial ended."""
        if isinstance(result, Estimate) and trial.latency is not None:
            better = (result.score, -trial.latency.steady_ms)
            if better > self._best:
                self._best = better
                score = score_text(result.score, result.by_accuracy)
                self.best = f"best {score} at {-better[1]:.2f} ms"
        completed = self.search.trials.study.completed()
        if self.console.is_terminal:
            self.progress.update(
                self._bar, completed=completed, description=self.best, refresh=True
            )
            return
        done = f"[{completed}/{self.search.config.trials}]"
        self.progress.console.print(f"{done} {_line(trial, result)}", markup=False, soft_wrap=True)


def _line(trial: OpenTrial, result: Result) -> str:
    if isinstance(result, Failure):
        return f"trial {trial.number} failed: {result.reason}"
    latency = trial.latency.steady_ms if trial.latency else float("nan")
    return (
        f"trial {trial.number}: {score_text(result.score, result.by_accuracy)}, {latency:.2f} ms, "
        f"{format_count(trial.cost.madds)} MAdds, {result.seconds:.0f} s"
    )


def _prepare_estimator(
    components: SearchComponents, config: SearchConfig, console: Console
) -> None:
    text = f"preparing {config.estimator} on {config.data}"
    prepare_estimator(components.estimator, text, console)


def _open(
    directory: RunDirectory,
    config: SearchConfig,
    components: SearchComponents,
    predictor: Predictor | None,
    sampler: GenotypeSampler,
    new: bool,
) -> Search:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = SearchStudy(
        open_storage(config.storage or directory.storage),
        config.study,
        components.space,
        sampler,
        components.objective,
        config.seed,
        new,
    )
    study.check_facts("accuracies", components.estimator.fingerprint())
    conditions = asdict(components.device.conditions)
    profile = {"profile": components.device.profile.digest()}  # its usual speed scales latencies
    study.check_facts("latencies", {**conditions, **profile})
    directory.write_conditions(provenance(components.estimator, components.device, predictor))
    references = References(components.references, directory.read_table("references"))
    bounds = components.latency_limits
    trials = TrialRunner(
        directory.path, study, components.device, predictor, bounds, references, config.trials
    )
    label = label_of(components.estimator)
    tables = RunTables(directory, config, components.space, study, references, bounds, label)
    return Search(config, components.estimator, components.retraining, trials, tables)
