"""Devices that join a run: trials keep their scores, only latencies are measured or predicted."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optuna
from rich.console import Console

from nas import cli
from nas.errors import MixnasError, UnrunnableError
from nas.objective import Objective
from nas.samplers import GenotypeSampler
from nas.search.config import SearchConfig
from nas.search.devices.source import SearchDevice, check_conditions
from nas.search.directory import RunDirectory
from nas.space import Space
from nas.study import SearchStudy
from nas.study.extension import extended_study
from nas.study.storage import open_storage
from nas.units import number_of


def joined(
    directory: RunDirectory,
    before: SearchConfig,
    config: SearchConfig,
    space: Space,
    devices: Sequence[SearchDevice],
    sampler: GenotypeSampler,
    console: Console,
) -> SearchConfig:
    """Let the devices that a run did not have join it.

    Each finished trial's network gets its latency on them. If this is interrupted, what was
    measured is kept, and the same command goes on.

    Args:
        directory: The run.
        before: Configuration of the run, without the devices that join.
        config: Configuration with them.
        space: Space of the run.
        devices: All devices, prepared.
        sampler: Sampler of the search that goes on; it proposes nothing here.
        console: Console for progress and remarks.

    Returns:
        The configuration, with the name of the study that knows all devices. It is not written yet.

    Raises:
        MixnasError: If a device is not available, or runs none of the networks.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = SearchStudy(
        storage=open_storage(config.storage or directory.storage),
        name=before.study,
        space=space,
        sampler=sampler,
        objective=Objective(config.objective, devices=len(before.devices)),
        seed=config.seed,
        new=False,
        devices=before.devices,
    )
    # Those of devices that join are recorded before anything is measured on them, so that a second
    # attempt does not mix conditions.
    check_conditions(study, devices)
    study.requeue()  # no trial is running when the study is copied
    for each in devices:
        if each.name not in before.devices:
            _measure(study, each, console)
    name = extended_study(study, config.devices, Objective("pareto", devices=len(config.devices)))
    return dataclasses.replace(config, study=name)


def _measure(study: SearchStudy, each: SearchDevice, console: Console) -> None:
    """Record the latency of all complete trials on a device.

    Raises:
        MixnasError: If the device runs none of the networks.
    """
    networks = study.without_latency(each.name)
    how = "predicted" if each.predictor is not None else "measured"
    console.print(
        f"{each.name} joins the run: the latency of {number_of(len(networks), 'network')} is {how} "
        "on it; their scores stay",
        soft_wrap=True,
        markup=False,
    )
    failures = []
    with cli.progress_bar(console, f"latency on {each.name}") as step:
        for done, (number, genotype) in enumerate(networks.items()):
            step(done, len(networks))
            try:
                latency = each.latency(study.space.decode(genotype))
            except UnrunnableError as error:
                failures.append(str(error))
            else:
                study.confirm(number, latency, each.name)
        step(len(networks), len(networks))
    if failures and len(failures) == study.completed():
        raise MixnasError(f"{each.name} runs none of the run's networks: {failures[0]}")
    if failures:
        console.print(
            f"{each.name} cannot run {number_of(len(failures), 'network')}, which have no latency "
            f"there: {failures[0]}",
            soft_wrap=True,
            markup=False,
        )
