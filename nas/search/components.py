"""The components of a search: everything that its configuration names, opened and checked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from nas import cli
from nas.accuracy import Estimator, max_score_of, open_estimator
from nas.accuracy.pool import SpacePool
from nas.accuracy.preparation import prepare_estimator
from nas.accuracy.short import ShortTraining
from nas.accuracy.supernet import Supernet
from nas.accuracy.zero_cost import ZeroCost
from nas.data import DataSource, load_data
from nas.document import digest
from nas.errors import MixnasError, OtherVersionError
from nas.executors.base import Executor, Resources
from nas.executors.local import LocalExecutor
from nas.latency import Device, MeasurementSettings, open_device
from nas.latency.prediction.genotype import GenotypeLatency
from nas.latency.prediction.predictor import Predictor, load_predictor
from nas.limits import Limit, limits_on, parse_limit
from nas.named import AnyNetwork, open_network
from nas.objective import Objective, open_objective
from nas.samplers import (
    GenotypeSampler,
    LatencyCost,
    SamplerFactory,
    SearchProblem,
    find_sampler,
)
from nas.search.config import SearchConfig
from nas.search.devices import SearchDevice
from nas.search.placements import SearchPlacements, find_placements
from nas.search.retraining import RetrainingEstimator, retraining
from nas.space import Space
from nas.study.latencies import latency_attribute
from nas.train.sources import announce


@dataclass(frozen=True)
class SearchComponents:
    """What a configuration names, opened; nothing has been written yet.

    Attributes:
        space: Space of the networks, with the data set's number of classes.
        limits: Limits on cost and latency, in addition to the space's own.
        devices: Devices that measure latency, the first one first, with their limits.
        estimator: Estimator of accuracy.
        retraining: Estimator that retrains the best networks; None to retrain none.
        objective: What the search optimizes.
        sampler: Opens the sampler.
        references: Reference networks, by name.
        placements: Where networks are trained.
        data: Images that networks are trained on and judged by.
    """

    space: Space
    limits: list[Limit]
    devices: tuple[SearchDevice, ...]
    estimator: Estimator
    retraining: RetrainingEstimator | None
    objective: Objective
    sampler: SamplerFactory
    references: dict[str, AnyNetwork]
    placements: SearchPlacements
    data: DataSource

    def recorded(self, config: SearchConfig) -> SearchConfig:
        """Return a configuration with what was chosen for it, as a run directory keeps it.

        Wherever a run is resumed, its scores must come from the same kind of device, and from a
        supernet that as many processes have trained.
        """
        if isinstance(self.estimator, ShortTraining | Supernet | ZeroCost):
            config = replace(config, on=self.placements.trials.on)
        processes = getattr(self.estimator, "trained_by", 1)
        if processes > 1 and getattr(self.estimator, "processes", None) is None:
            separator = "," if ":" in config.estimator else ":"
            config = replace(
                config, estimator=f"{config.estimator}{separator}processes={processes}"
            )
        return config

    def prepare(
        self, config: SearchConfig, console: Console
    ) -> tuple[list[SearchDevice], GenotypeSampler]:
        """Prepare the estimator and the devices, which may take minutes; open the sampler.

        Returns:
            The devices, with the latency predictors that the search uses, and the sampler.

        Raises:
            MixnasError: If one of them cannot be used.
        """
        self.prepare_estimator(config, console)
        return self.prepare_devices(config, console)

    def prepare_estimator(self, config: SearchConfig, console: Console) -> None:
        """Prepare the estimator, which may take hours.

        Raises:
            MixnasError: If it cannot be used.
        """
        announce(self.data, console)
        remark = self.placements.remark(self.placements.for_trials(Resources(config.workers)))
        if remark is not None:
            console.print(remark, soft_wrap=True)
        prepare_estimator(self.estimator, f"preparing {config.estimator} on {config.data}", console)

    def prepare_devices(
        self, config: SearchConfig, console: Console
    ) -> tuple[list[SearchDevice], GenotypeSampler]:
        """Prepare the devices, which may take minutes; open the sampler. See `prepare`."""
        devices = [
            replace(each, predictor=self._prepared_device(each, config, console))
            for each in self.devices
        ]
        return devices, self._open_sampler(config, devices)

    def _prepared_device(
        self, each: SearchDevice, config: SearchConfig, console: Console
    ) -> Predictor | None:
        """Examine a device if necessary; return its predictor if there is a use for one.

        Raises:
            MixnasError: If a predictor is required, but none matches.
        """
        with cli.examining(console, each.name) as step:
            each.device.prepare(step)
        if config.latency == "measured":
            return None
        try:
            predictor = load_predictor(each.device, self.space, config.space, _settings_of(config))
        except MixnasError as error:
            if config.latency == "predicted":
                raise
            if isinstance(error, OtherVersionError):  # the user believes that there is one
                remark = f"note: latencies are measured, not predicted: {error}"
                console.print(remark, soft_wrap=True, markup=False)
            return None
        if console.is_terminal:
            low, high = predictor.range_ms
            where = f" on {each.name}" if len(self.devices) > 1 else ""
            console.print(
                f"latency{where}: predicted (predictor of {predictor.when}, learned from networks "
                f"of {low:.2f} to {high:.2f} ms; those beyond and the front are measured)"
            )
        return predictor

    def _open_sampler(
        self, config: SearchConfig, devices: Sequence[SearchDevice]
    ) -> GenotypeSampler:
        """Open the sampler; predictors tell it the latencies, or it learns them from the trials.

        Raises:
            MixnasError: If a user-defined sampler is not a `GenotypeSampler`, or the sampler does
                not take so many devices.
        """
        latencies = [
            LatencyCost(
                GenotypeLatency(
                    self.space,
                    each.device.form_choice(),
                    each.device.conditions,
                    each.predictor,
                ),
                tuple(each.limits),
                latency_attribute(each.name, config.devices),
            )
            for each in devices
        ]
        problem = SearchProblem(
            space=self.space,
            limits=tuple(self.limits),
            seed=config.seed,
            objective=self.objective,
            latencies=tuple(latencies),
            max_score=max_score_of(self.estimator),
        )
        return self.sampler(problem)


def open_components(config: SearchConfig, space: Space) -> SearchComponents:
    """Open everything that a configuration names.

    Raises:
        MixnasError: If a component does not exist, or is incompatible with another one.
    """
    data = load_data(config.data, config.images_per_class)
    space = space.with_classes(data.num_classes)
    if space.input_channels != (3,):
        raise MixnasError(
            f"'{space.name}' takes images of {space.input_channels} channels, but the data set has "
            "3; set input: {channels: 3} in the space"
        )
    limits = [parse_limit(metric, text) for metric, text in config.limits.items()]
    pool = SpacePool(space, tuple(limits))
    if config.ray is not None:
        from nas.executors.ray_cluster import connect, local_cpus  # Ray takes seconds to import

        connect(config.ray, local_cpus(config.workers, config.threads))
    placements = find_placements(config)
    estimator = open_estimator(
        name=config.estimator,
        data=config.data,
        pool=pool,
        seed=config.seed,
        placement=placements.trials,
        images_per_class=config.images_per_class,
    )
    objective = open_objective(config.objective, config.target, len(config.devices))
    if objective.target_ms is not None and max_score_of(estimator) != 1:
        raise MixnasError(
            f"the objective '{config.objective}' combines accuracies between 0 and 1, which the "
            f"estimator '{config.estimator}' does not give; use pareto, or another estimator"
        )
    retrains = config.networks_to_retrain > 0
    return SearchComponents(
        space=space,
        limits=limits,
        devices=_open_devices(config, space, limits),
        estimator=estimator,
        retraining=retraining(
            estimator, config.data, config.retrain, placements.here, config.images_per_class
        )
        if retrains
        else None,
        objective=objective,
        sampler=find_sampler(config.sampler),
        references={
            name: replace(open_network(name, data.num_classes), name=name)
            for name in config.references
        },
        placements=placements,
        data=data,
    )


def _open_devices(
    config: SearchConfig, space: Space, limits: Sequence[Limit]
) -> tuple[SearchDevice, ...]:
    """Return the devices of a search with their limits: the space's own and the given ones.

    Raises:
        MixnasError: If a device does not exist or is named twice, or a limit names none of them.
    """
    names = config.devices
    if not names or len(set(names)) < len(names):
        raise MixnasError("the search needs at least one device, and each only once (--device)")
    for limit in (*space.limits, *limits):
        if limit.device and limit.device not in names:
            raise MixnasError(
                f"limit {limit}: {limit.device} is not a device of the search; these are "
                f"{', '.join(names)} (--device)"
            )
    return tuple(
        SearchDevice(
            name,
            _open_device(name, config),
            [*limits_on(name, space.limits), *limits_on(name, limits)],
        )
        for name in names
    )


def _settings_of(config: SearchConfig) -> MeasurementSettings:
    """Return how latency is measured in a search."""
    return MeasurementSettings(
        threads=config.device_threads, batch=config.device_batch, interval_ms=config.interval
    )


def _open_device(name: str, config: SearchConfig) -> Device:
    settings = _settings_of(config)
    if config.ray is None:
        return open_device(name, settings)
    from nas.executors.ray_cluster import cluster_device

    return cluster_device(name, settings)


def open_executor(
    config: SearchConfig, estimator: Estimator, placements: SearchPlacements, directory: Path
) -> Executor:
    """Return what runs the trials: worker processes on this machine, or a Ray cluster.

    Args:
        config: Configuration of the search.
        estimator: Estimator of accuracy.
        placements: Where networks are trained.
        directory: Run directory; together with the study it names the state that Ray Tune keeps.

    Raises:
        MixnasError: If this machine's GPUs cannot be divided as the configuration says.
    """
    resources = Resources(config.workers, config.threads, config.trial_timeout)
    if config.ray is None:
        return LocalExecutor(estimator, placements.for_trials(resources))
    from nas.search.tune import TuneExecutor

    # Two run directories may have the same name, but not the same path. The study's name comes from
    # a file; what Tune finds in a folder, it unpickles.
    study = re.sub(r"[^\w.-]", "_", config.study)
    name = f"{study}-{digest(str(directory.resolve()))}"
    return TuneExecutor(estimator, resources, placements.gpus_per_trial, name)
