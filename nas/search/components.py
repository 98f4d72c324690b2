"""The components of a search: everything that its configuration names, opened and checked."""

from __future__ import annotations

import re
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
from nas.limits import Limit, parse_limit
from nas.named import AnyNetwork, open_network
from nas.objective import Objective, open_objective
from nas.samplers import GenotypeSampler, SamplerFactory, SearchProblem, find_sampler
from nas.search.config import SearchConfig
from nas.search.placements import SearchPlacements, find_placements
from nas.search.retraining import RetrainingEstimator, retraining
from nas.space import Space
from nas.train.sources import announce


@dataclass(frozen=True)
class SearchComponents:
    """What a configuration names, opened; nothing has been written yet.

    Attributes:
        space: Space of the networks, with the data set's number of classes.
        limits: Limits on cost and latency, in addition to the space's own.
        device: Device that measures latency.
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
    device: Device
    estimator: Estimator
    retraining: RetrainingEstimator | None
    objective: Objective
    sampler: SamplerFactory
    references: dict[str, AnyNetwork]
    placements: SearchPlacements
    data: DataSource

    @property
    def latency_limits(self) -> list[Limit]:
        """The limits that are kept by measuring: the space's own and the given ones."""
        return [limit for limit in (*self.space.limits, *self.limits) if limit.metric == "latency"]

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
    ) -> tuple[Predictor | None, GenotypeSampler]:
        """Prepare the estimator and the device, which may take minutes; open the sampler.

        Returns:
            The latency predictor, if the search uses one, and the sampler.

        Raises:
            MixnasError: If one of them cannot be used.
        """
        announce(self.data, console)
        remark = self.placements.remark(self.placements.for_trials(Resources(config.workers)))
        if remark is not None:
            console.print(remark, soft_wrap=True)
        prepare_estimator(self.estimator, f"preparing {config.estimator} on {config.data}", console)
        predictor = self._prepare_device(config, console)
        return predictor, self._open_sampler(config, predictor)

    def _prepare_device(self, config: SearchConfig, console: Console) -> Predictor | None:
        """Examine the device if necessary; return its predictor if there is a use for one.

        Raises:
            MixnasError: If a predictor is required, but none matches.
        """
        with cli.progress_bar(console, f"examining {config.device}") as step:
            self.device.prepare(step)
        if config.latency == "measured":
            return None
        try:
            predictor = load_predictor(self.device, self.space, config.space)
        except MixnasError as error:
            if config.latency == "predicted":
                raise
            if isinstance(error, OtherVersionError):  # the user believes that there is one
                remark = f"note: latencies are measured, not predicted: {error}"
                console.print(remark, soft_wrap=True, markup=False)
            return None
        if console.is_terminal:
            low, high = predictor.range_ms
            console.print(
                f"latency: predicted (predictor of {predictor.when}, learned from networks of "
                f"{low:.2f} to {high:.2f} ms; those beyond and the front are measured)"
            )
        return predictor

    def _open_sampler(self, config: SearchConfig, predictor: Predictor | None) -> GenotypeSampler:
        """Open the sampler; a predictor tells it the latency, or it learns it from the trials.

        Raises:
            MixnasError: If a user-defined sampler is not a `GenotypeSampler`.
        """
        latency = GenotypeLatency(
            self.space,
            self.device.form_choice(),
            self.device.conditions,
            None if predictor is None else predictor.model,
        )
        problem = SearchProblem(
            space=self.space,
            limits=tuple(self.limits),
            seed=config.seed,
            objective=self.objective,
            latency=latency,
            latency_limits=tuple(self.latency_limits),
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
    objective = open_objective(config.objective, config.target)
    if objective.target_ms is not None and max_score_of(estimator) != 1:
        raise MixnasError(
            f"the objective '{config.objective}' combines accuracies between 0 and 1, which the "
            f"estimator '{config.estimator}' does not give; use pareto, or another estimator"
        )
    retrains = config.networks_to_retrain > 0
    return SearchComponents(
        space=space,
        limits=limits,
        device=_open_device(config),
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


def _open_device(config: SearchConfig) -> Device:
    settings = MeasurementSettings(interval_ms=config.interval)
    if config.ray is None:
        return open_device(config.device, settings)
    from nas.executors.ray_cluster import cluster_device

    return cluster_device(config.device, settings)


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
