"""The loop behind ``python -m nas.search``: ask, measure, train, tell, and report.

Networks are taken in waves: all of a wave are measured first, while nothing trains, then trained
by the worker processes. Latency measured beside a training would be the training's.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import optuna
import pandas as pd
from rich.console import Console
from rich.progress import Progress

from analysis.fronts import Front, pareto_front
from analysis.report import write_report
from analysis.runs import OBJECTIVES
from nas import cli
from nas.accuracy import Estimate, Estimator
from nas.cost import count
from nas.errors import ExhaustedError, MixnasError, UnrunnableError
from nas.executors.local import Failure, LocalExecutor, Task
from nas.latency import Device, Latency, measure_quietly
from nas.latency.predictor import Predictor
from nas.limits import Limit
from nas.run_directory import RunDirectory, SearchConfig
from nas.search_parts import Parts, open_parts, prepare_device
from nas.search_results import References, Results
from nas.space import Space, load_space
from nas.space.loader import find_document
from nas.space.sampling import sample
from nas.spec import NetworkSpec
from nas.study import OpenTrial, SearchStudy, genotype_of_row
from nas.units import format_count

WAVE = 6  # networks a worker trains between two rounds of measuring
ATTEMPTS = 2  # at a latency, while the machine is noisy
HOPELESS = 8  # trials in a row without a result, before giving up


@dataclass
class Search:
    """One search, from its settings to its report.

    Attributes:
        directory: where everything is kept.
        config: what was asked for.
        space: for the data's number of classes.
        limits: of the command line and the config.
        device: measures latency.
        estimator: judges accuracy.
        study: the trials.
        references: networks judged beside, by name.
        predictor: tells latency in the loop, if there is one; the front is measured at the end.
    """

    directory: RunDirectory
    config: SearchConfig
    space: Space
    limits: list[Limit]
    device: Device
    estimator: Estimator
    study: SearchStudy
    references: References
    predictor: Predictor | None = None
    _stopped: bool = False

    @staticmethod
    def prepare(config: SearchConfig, path: Path, console: Console) -> Search:
        """Check everything that can be wrong, then make the run directory.

        Raises:
            MixnasError: when a setting is not possible; nothing has been written then.
        """
        document = find_document(config.space)
        parts = open_parts(config, load_space(config.space))
        sample(parts.space, Random(config.seed), parts.limits)  # raises when nothing is within
        RunDirectory.check_new(path)
        predictor = prepare_device(parts, config, console)
        directory = RunDirectory.create(path)
        directory.lock()
        directory.write_space(document.data)
        directory.write_config(config)
        return _open(directory, config, parts, predictor, new=True)

    @staticmethod
    def resume(directory: RunDirectory, config: SearchConfig, console: Console) -> Search:
        """Open a run that was interrupted, or that more trials are wanted of.

        Raises:
            MixnasError: when its files cannot be used.
        """
        directory.lock()
        parts = open_parts(config, load_space(str(directory.path / "space.yaml")))
        new = not directory.has_study()
        predictor = prepare_device(parts, config, console)
        search = _open(directory, config, parts, predictor, new)
        search.study.requeue()
        return search

    # -- the loop ---------------------------------------------------------------------------

    def run(self, console: Console) -> bool:
        """Search until the asked number of trials is complete.

        Returns:
            Whether it came to its end; False after Ctrl-C.

        Raises:
            MixnasError: when trial after trial ends without a result.
        """
        previous = signal.signal(signal.SIGINT, self._stop)
        if console.is_terminal:
            console.print(f"run directory: {self.directory.path}")
        progress = cli.new_progress(console)
        bar = progress.add_task(
            "measuring", total=self.config.trials, completed=self.study.completed()
        )
        try:
            with progress, self._executor() as executor:
                while (left := self.config.trials - self.study.completed()) > 0:
                    more = self._wave(
                        executor, min(left, WAVE * self.config.workers), progress, bar
                    )
                    self._save()
                    self._give_up_if_hopeless()
                    if not more:
                        break
                self._judge_references(executor, progress, bar)
                self._confirm_front(progress, bar)
        except KeyboardInterrupt:
            console.print(
                f"stopped; continue with: python -m nas.search --resume {self.directory.path}"
            )
            return False
        finally:
            signal.signal(signal.SIGINT, previous)
            self._save()
        return True

    def _confirm_front(self, progress: Progress, bar: Any) -> None:
        """Measure the best network and those of the front, where latency was predicted or noisy.

        What is measured may leave the front and let others in, so until all of it is measured.
        """
        again: set[int] = set()
        while True:
            doubtful = self._doubtful(again)
            if doubtful.empty:
                return
            progress.update(bar, description="measuring the front", refresh=True)
            for row in doubtful.to_dict("records"):
                again.add(int(row["number"]))
                spec = self.space.decode(genotype_of_row(row, self.space))
                try:
                    latency = measure_quietly(self.device, spec, ATTEMPTS)
                except UnrunnableError:  # predicted, and the device cannot run it after all
                    continue
                if row["latency_source"] == "predicted" or not latency.noise:
                    self.study.confirm(int(row["number"]), latency)

    def _doubtful(self, again: set[int]) -> pd.DataFrame:
        """Return what a report would show first and was not measured on a quiet machine."""
        table = self.study.table()
        best = self._best_row(table)
        numbers = set(self._front(table).rows["number"]) - again
        if best is not None:
            numbers |= {best["number"]} - again
        shown = table[table["number"].isin(numbers)]
        noisy = shown["latency_noise"].fillna("") != ""
        return shown[noisy | (shown["latency_source"] == "predicted")]

    def _stop(self, *_: object) -> None:
        self._stopped = True
        raise KeyboardInterrupt

    def _executor(self) -> LocalExecutor:
        return LocalExecutor(self.estimator, self.config.workers, self.config.threads)

    def _wave(self, executor: LocalExecutor, n: int, progress: Progress, bar: Any) -> bool:
        """Measure and train the next networks, and the references along with the first.

        Returns:
            Whether there may be more networks.
        """
        progress.update(bar, description="measuring", refresh=True)
        measured, more = self._measured(n)
        trials = {trial.number: trial for trial in measured}
        tasks: dict[Any, Task] = {
            number: Task(trial.spec, self.config.seed) for number, trial in trials.items()
        }
        latencies = self.references.measure(self.device)
        tasks |= self._reference_tasks(latencies)
        progress.update(bar, description=self._best(), refresh=True)
        # The longest first, so that workers end together and none waits for the next wave.
        longest_first = sorted(tasks.items(), key=lambda item: -count(item[1].spec).madds)
        for key, result in executor.run(dict(longest_first)):
            if self._stopped:  # the exception may have been lost in a library's callback
                raise KeyboardInterrupt
            if key in latencies:
                self.references.note(key, latencies[key], result, self.config.seed)
                continue
            self._tell(trials[key], result)
            progress.update(
                bar, completed=self.study.completed(), description=self._best(), refresh=True
            )
            if not progress.console.is_terminal:
                self._say(progress.console, trials[key], result)
        if not more:
            progress.console.print("the space has no other network within the limits")
        return more

    def _measured(self, n: int) -> tuple[list[OpenTrial], bool]:
        """Ask for networks and measure them, until `n` meet the limits on latency.

        Returns:
            Those, and whether there may be more.
        """
        bounds = self._latency_bounds()
        trials: list[OpenTrial] = []
        pruned = failed = 0
        while len(trials) < n and pruned + failed < HOPELESS + 2 * n:
            try:
                trial = self.study.ask()
            except ExhaustedError:
                return trials, False
            try:
                latency = self._latency(trial.spec)
            except UnrunnableError as error:
                failed += 1
                self.study.fail(trial, str(error))
                continue
            self.study.note_latency(trial, latency)
            broken = next((b for b in bounds if _surely_broken(b, latency)), None)
            if broken is None:
                trials.append(trial)
            else:
                pruned += 1
                self.study.prune(trial, broken)
        return trials, True

    def _latency(self, spec: NetworkSpec) -> Latency:
        if self.predictor is not None:
            return self.predictor.predict(spec, self.device.choice())
        return measure_quietly(self.device, spec, ATTEMPTS)

    def _tell(self, trial: OpenTrial, result: Estimate | Failure) -> None:
        if isinstance(result, Failure):
            self.study.fail(trial, result.reason)
        else:
            self.study.complete(trial, result)

    def _say(self, console: Console, trial: OpenTrial, result: Estimate | Failure) -> None:
        done = f"{self.study.completed()}/{self.config.trials}"
        if isinstance(result, Failure):
            console.print(f"[{done}] trial {trial.number} failed: {result.reason}", markup=False)
            return
        latency = trial.latency.steady_ms if trial.latency else float("nan")
        console.print(
            f"[{done}] trial {trial.number}: {100 * result.accuracy:.1f}%, {latency:.2f} ms, "
            f"{format_count(trial.cost.madds)} MAdds, {result.seconds:.0f} s",
            markup=False,
        )

    def _give_up_if_hopeless(self) -> None:
        """End a search that gets nowhere.

        Raises:
            MixnasError: with the commonest reason.
        """
        reasons = self.study.ended_without()
        completed = self.study.completed()
        if len(reasons) < HOPELESS + 3 * completed:
            return
        reason, times = Counter(r.partition(" breaks ")[2] or r for r in reasons).most_common(1)[0]
        raise MixnasError(
            f"{len(reasons)} trials ended without a result and {completed} with one; {times} of "
            f"them: {reason}. Loosen the limit or mend the cause, then continue with "
            f"--resume {self.directory.path}"
        )

    def _best(self) -> str:
        table = self.study.table()
        done = table[table["state"] == "complete"]
        if done.empty:
            return "training"
        best = done.sort_values(["accuracy", "latency_ms"], ascending=[False, True]).iloc[0]
        return f"best {100 * best['accuracy']:.1f}% at {best['latency_ms']:.2f} ms"

    def _judge_references(self, executor: LocalExecutor, progress: Progress, bar: Any) -> None:
        """Judge references that no wave took along, as after a resume."""
        if self.references.missing():
            progress.update(bar, description="references", refresh=True)
            latencies = self.references.measure(self.device)
            for name, result in executor.run(self._reference_tasks(latencies)):
                self.references.note(name, latencies[name], result, self.config.seed)

    def _reference_tasks(self, names: Iterable[str]) -> dict[Any, Task]:
        return {name: Task(self.references.specs[name], self.config.seed) for name in names}

    # -- results ----------------------------------------------------------------------------

    def _save(self) -> None:
        """Write all tables, the best network and the report of what there is."""
        table = self.study.table()
        kept = set(self._within(table)["number"])
        table["within_limits"] = [number in kept for number in table["number"]]
        self.directory.write_table("trials", table)
        if self.references.rows:
            self.directory.write_table("references", self.references.table())
        front = self._front(table)
        self.directory.write_table("pareto", front.rows)
        best = self._best_row(table)
        if best is None:
            (self.directory.path / "best.yaml").unlink(missing_ok=True)
        else:
            genotype = genotype_of_row(best.to_dict(), self.space)
            name = f"{self.space.name}_trial_{best['number']}"
            self.space.decode(genotype, name).save(self.directory.path / "best.yaml")

    def _best_row(self, table: pd.DataFrame) -> pd.Series | None:
        """Return the most accurate network of the front, or the one with the highest reward."""
        within = self._within(table)
        if within.empty:
            return None
        if self.study.objective.target_ms is not None:
            return within.sort_values("reward", ascending=False).iloc[0]
        rows = self._front(table).rows
        return rows.sort_values(["accuracy", "latency_ms"], ascending=[False, True]).iloc[0]

    def _within(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the complete trials that keep the limits on latency, as it is known by now."""
        done = table[table["state"] == "complete"]
        for bound in self._latency_bounds():
            kept = [bound.excess(value) == 0 for value in done["latency_ms"]]
            done = done.loc[pd.Series(kept, index=done.index, dtype=bool)]
        return done

    def _latency_bounds(self) -> list[Limit]:
        everything = (*self.space.limits, *self.limits)
        return [limit for limit in everything if limit.metric == "latency"]

    def _front(self, table: pd.DataFrame) -> Front:
        return pareto_front(self._within(table), OBJECTIVES)

    def report(self, json: bool) -> None:
        """Write the report and print the Pareto table, with the references beside."""
        page = write_report(self.directory.path)
        front = self._front(self.study.table())
        results = Results(self.directory.path, page, front, self.references.table())
        if json:
            cli.print_json(results.to_dict(self.study.completed()))
        else:
            results.print(self.config.data, self.config.device)


def _surely_broken(bound: Limit, latency: Latency) -> bool:
    """Tell whether a latency breaks a limit; a predicted one with its whole error bar."""
    if latency.source == "measured":
        return bound.excess(latency.steady_ms) > 0
    return min(bound.excess(latency.low_ms), bound.excess(latency.high_ms)) > 0


def _open(
    directory: RunDirectory,
    config: SearchConfig,
    parts: Parts,
    predictor: Predictor | None,
    new: bool,
) -> Search:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = SearchStudy(
        directory.storage, parts.space, parts.sampler, parts.objective, config.seed, new
    )
    study.check_facts("accuracies", parts.estimator.fingerprint())
    conditions = asdict(parts.device.conditions)
    profile = {"profile": parts.device.profile.digest()}  # its usual speed scales latencies
    study.check_facts("latencies", {**conditions, **profile})
    return Search(
        directory,
        config,
        parts.space,
        parts.limits,
        parts.device,
        parts.estimator,
        study,
        References(parts.references, directory.read_table("references")),
        predictor,
    )
