"""The search behind ``python -m nas.search``: prepare, run trials, retrain the best, report."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import optuna
import torch
from rich.console import Console

from analysis.read.runs import SCALE
from nas import cli
from nas.accuracy import Estimator, is_accuracy_of, label_of, side_of
from nas.accuracy.base import EstimateError
from nas.accuracy.preparation import facts_before, prepare_estimator
from nas.accuracy.supernet import SUPERNET_FILE, Supernet
from nas.document import plain_document
from nas.errors import MixnasError
from nas.executors.base import Resources, default_resources
from nas.files import network_file_system, taken_folder
from nas.named import AnyNetwork
from nas.samplers import GenotypeSampler
from nas.search.components import SearchComponents, open_components, open_executor
from nas.search.config import SearchConfig, resume_command
from nas.search.devices import SearchDevice, check_conditions
from nas.search.devices.joining import joined
from nas.search.directory import RunDirectory
from nas.search.effort.price import expected_phases, in_words
from nas.search.monitor import SearchMonitor
from nas.search.placements import SearchPlacements
from nas.search.provenance import provenance
from nas.search.queue import TrialQueue
from nas.search.references import References, read_references
from nas.search.retraining import RetrainingEstimator, RetrainingRun
from nas.search.tables import RunTables
from nas.search.trials import TrialRunner
from nas.space import load_space
from nas.space.loader import find_document, short_name
from nas.space.sampling import sample
from nas.study import SearchStudy
from nas.study.facts import FACTS, changes, compare_facts, space_changes
from nas.study.facts import in_words as changes_in_words
from nas.study.storage import open_storage
from nas.train.placement import release_memory


@dataclass
class Search:
    """One search, from its configuration to its report.

    Attributes:
        config: Configuration of the search.
        estimator: Estimator of accuracy.
        retraining: Estimator that retrains the best networks; None to retrain none.
        placements: Where networks are trained.
        runner: Begins and ends the trials.
        tables: Tables of the results so far.
        resumed: Whether an earlier process began the run, and may have left trials unfinished.
    """

    config: SearchConfig
    estimator: Estimator
    retraining: RetrainingEstimator | None
    placements: SearchPlacements
    runner: TrialRunner
    tables: RunTables
    resumed: bool = False
    _interrupted: bool = False

    @staticmethod
    def prepare(config: SearchConfig, path: Path | None, console: Console) -> Search:
        """Check all settings, then create the run directory.

        Its folder is taken first, so that no other search can have it when the preparation is done.

        Args:
            config: Configuration of the search.
            path: Run directory; None for a new one below ``runs/``.
            console: Console for progress and remarks.

        Raises:
            MixnasError: If a setting is not possible; nothing has been written then.
        """
        document = find_document(config.space)
        if path is not None:
            RunDirectory.check_new(path)
        with taken_folder(path, short_name(config.space)) as (folder, lock):
            components = open_components(config, load_space(config.space))
            # Raises if no network is within the limits.
            sample(components.space, Random(config.seed), components.limits)
            if config.storage is not None:
                open_storage(config.storage)
            else:
                _warn_of_network(folder, console)
            _tell_price(components, config, console)
            devices, sampler = components.prepare(config, console)
            directory = RunDirectory.create(folder, lock)
            directory.write_space(document.data)
            config = components.recorded(config)
            directory.write_config(config)
            return _assemble(directory, config, components, devices, sampler, new=True)

    @staticmethod
    def resume(directory: RunDirectory, config: SearchConfig, console: Console) -> Search:
        """Open a run that was interrupted, or that is to be extended by more trials or devices.

        Where only devices join it, nothing is trained.

        Raises:
            MixnasError: If its files cannot be used.
        """
        directory.lock()
        recorded = directory.recorded(config)
        _check_space(directory, config, recorded or {}, console)
        components = open_components(config, load_space(str(directory.path / "space.yaml")))
        facts = _facts_of_scores(recorded or {})
        if facts is not None:
            _check_estimator(components.estimator, facts)
            if isinstance(components.estimator, Supernet):
                kept = directory.path / SUPERNET_FILE
                components.estimator.restore(kept, facts)
        if config.storage is None:
            _warn_of_network(directory.path, console)
        before = directory.read_config()
        if recorded is None or set(config.devices) <= set(before.devices):
            devices, sampler = components.prepare(config, console)
            directory.write_config(config)
            new = recorded is None
            return _assemble(directory, config, components, devices, sampler, new)
        devices, sampler = components.prepare_devices(config, console)
        config = joined(directory, before, config, components.space, devices, sampler, console)
        directory.write_config(config)
        completed = _open_study(directory, config, components, sampler, new=False).completed()
        same = (config.confirm, config.retrain) == (before.confirm, before.retrain)
        if completed < config.trials or not same:
            components.prepare_estimator(config, console)
            return _assemble(directory, config, components, devices, sampler)
        scored = {
            "scores": facts or {},
            SCALE: directory.read_conditions().get(SCALE),
        }
        return _assemble(directory, config, components, devices, sampler, scored=scored)

    def run(self, console: Console) -> bool:
        """Search until the requested number of trials is complete.

        Returns:
            Whether the search finished; False after Ctrl-C.

        Raises:
            MixnasError: If trial after trial ends without a result, or nothing can be written.
        """
        previous = signal.signal(signal.SIGINT, self._interrupt)
        path = self.tables.directory.path
        if console.is_terminal:
            console.print(f"run directory: {path}", soft_wrap=True)
        finished = True
        try:
            self._run_trials(console)
            self._retrain(console)
            self.tables.profile_best()
        except KeyboardInterrupt:
            command = resume_command(path, self.config)
            console.print(f"stopped; continue with: {command}", soft_wrap=True)
            finished = False
        except MixnasError:
            with suppress(MixnasError):  # a full disk takes no tables either; its error is raised
                self.tables.save()
            raise
        finally:
            signal.signal(signal.SIGINT, previous)
        self.tables.save()
        return finished

    def _interrupt(self, *_: object) -> None:
        self._interrupted = True
        raise KeyboardInterrupt

    def _run_trials(self, console: Console) -> None:
        monitor = SearchMonitor(
            study=self.runner.study,
            trials=self.config.trials,
            console=console,
            is_accuracy=is_accuracy_of(self.estimator),
        )
        queue = TrialQueue(self.runner, self.tables, monitor, lambda: self._interrupted)
        path = self.tables.directory.path
        with monitor.progress:
            if self.runner.left:
                monitor.say("measuring")
            executor = open_executor(self.config, self.estimator, self.placements, path)
            with executor:
                if self.resumed:
                    self.runner.study.requeue(executor.recover(queue))
                executor.drain(queue)
            if self.runner.exhausted:
                console.print(self.runner.exhausted, soft_wrap=True)
            self.tables.measure_front(lambda: monitor.say("measuring the front"))

    def _retrain(self, console: Console) -> None:
        """Retrain the best networks and the references, for longer and with several seeds."""
        if self.retraining is None:
            return
        found = self.tables.best_networks(self.config.networks_to_retrain)
        if not found:
            return
        prepare_estimator(self.retraining, "preparing to retrain the best", console)
        networks: dict[tuple[str, str], AnyNetwork] = {
            (name, "front"): spec for name, spec in found.items()
        }
        networks |= {(n, "reference"): spec for n, spec in self.runner.references.specs.items()}
        retraining_run = RetrainingRun(self.tables.directory, self.retraining, self.config.seed)
        # On this machine, whatever cluster the trials ran on. The time limit of a trial does not
        # apply: a retraining takes longer.
        workers, _ = default_resources()
        resources = self.placements.for_retraining(
            Resources(min(self.config.workers, workers), self.config.threads)
        )
        for remark in self.retraining.remarks(networks):
            console.print(remark, soft_wrap=True)
        if not console.is_terminal:
            console.print("retraining the best and the references")
        with cli.progress_bar(console, "retraining the best") as step:
            failures = retraining_run.run(networks, resources, step)
        for failure in failures:
            console.print(f"retraining failed: {failure}", soft_wrap=True)


def _tell_price(components: SearchComponents, config: SearchConfig, console: Console) -> None:
    """Tell how long the phases of a search will take, unless it is soon over or cannot be told."""
    try:
        phases = expected_phases(components, config)
    except (EstimateError, torch.OutOfMemoryError):  # the training says what to do, or halves it
        return
    finally:
        release_memory()
    if phases:
        console.print(in_words(phases), soft_wrap=True)


def _check_space(
    directory: RunDirectory, config: SearchConfig, recorded: dict[str, Any], console: Console
) -> None:
    """Refuse a run whose copy of its space was edited; tell of changes to the original.

    Raises:
        MixnasError: If the copy was edited; with the differences.
    """
    copy = directory.read_space()
    edited = space_changes(recorded, copy)
    if edited:
        raise MixnasError(
            f"{directory.path / 'space.yaml'} has changed since the run began, so that its results "
            f"could not be compared: {edited}. Undo this, or search the changed space in a new run"
        )
    try:
        original = find_document(config.space).data
    except MixnasError:  # gone, or named from another folder
        return
    found = changes(plain_document(copy), plain_document(original))
    found = [change for change in found if not change.startswith("base ")]  # a path from here
    if found:
        console.print(
            f"note: the space {config.space} has changed since the run began "
            f"({changes_in_words(found)}); the run continues with its own copy, space.yaml",
            soft_wrap=True,
        )


def _facts_of_scores(recorded: dict[str, Any]) -> dict[str, Any] | None:
    """Return what the scores of a run rest on, by the attributes of its study; None if unknown."""
    facts = recorded.get(FACTS.format("accuracies"))
    return facts if isinstance(facts, dict) else None


def _check_estimator(estimator: Estimator, before: dict[str, Any]) -> None:
    """Refuse an estimator that has changed, before it is prepared, which may take hours.

    What is known only afterwards is compared then (`SearchStudy.check_facts`).

    Args:
        estimator: The estimator.
        before: What the scores of the run rest on.

    Raises:
        MixnasError: If the scores could not be compared with those of the run.
    """
    now = facts_before(estimator)
    compare_facts("accuracies", {name: before.get(name) for name in now}, now)


def _warn_of_network(folder: Path, console: Console) -> None:
    """Warn of a study in SQLite on a network file system, whose locks are not reliable."""
    kind = network_file_system(folder)
    if kind is not None:
        console.print(
            f"warning: {folder} is on a network file system ({kind}), where SQLite can lose or "
            "damage a study that several machines use; keep the study of a cluster on a PostgreSQL "
            "server (--storage postgresql://user@host/database), or the run on a local disk",
            soft_wrap=True,
        )


def _open_study(
    directory: RunDirectory,
    config: SearchConfig,
    components: SearchComponents,
    sampler: GenotypeSampler,
    new: bool,
) -> SearchStudy:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return SearchStudy(
        storage=open_storage(config.storage or directory.storage),
        name=config.study,
        space=components.space,
        sampler=sampler,
        objective=components.objective,
        seed=config.seed,
        new=new,
        devices=config.devices,
        by_accuracy=is_accuracy_of(components.estimator),
    )


def _assemble(
    directory: RunDirectory,
    config: SearchConfig,
    components: SearchComponents,
    devices: Sequence[SearchDevice],
    sampler: GenotypeSampler,
    new: bool = False,
    scored: dict[str, Any] | None = None,
) -> Search:
    """Put a search together; its study is created if it is new.

    Args:
        directory: The run directory.
        config: Configuration of the search.
        components: What it names.
        devices: The devices, prepared.
        sampler: Proposes networks.
        new: Whether to create the study.
        scored: What the run recorded of its scores (see `provenance`), if nothing more is to be
            trained; None to ask the estimator, which must be prepared.
    """
    estimator = components.estimator
    study = _open_study(directory, config, components, sampler, new)
    study.record_space(directory.read_space())
    if scored is None:
        study.check_facts("accuracies", estimator.fingerprint())
        if isinstance(estimator, Supernet):  # its slices are for training and export, anywhere
            directory.write_bytes(SUPERNET_FILE, estimator.export_state())
    check_conditions(study, devices)
    directory.write_conditions(provenance(estimator, devices, components.retraining, scored))
    references = References(components.references, read_references(directory))
    runner = TrialRunner(
        path=directory.path,
        study=study,
        devices=devices,
        references=references,
        wanted=config.trials,
    )
    tables = RunTables(
        directory=directory,
        config=config,
        space=components.space,
        study=study,
        references=references,
        devices=devices,
        label=label_of(estimator),
        is_accuracy=is_accuracy_of(estimator),
        side=side_of(estimator),
        retraining_side=None if components.retraining is None else components.retraining.resolution,
    )
    return Search(
        config=config,
        estimator=estimator,
        retraining=components.retraining if scored is None else None,
        placements=components.placements,
        runner=runner,
        tables=tables,
        resumed=not new,
    )
