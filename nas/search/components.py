"""What a search is made of: everything that its configuration names, opened and checked."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console

from nas import cli
from nas.accuracy import Estimator, max_score_of, open_estimator
from nas.accuracy.pool import SpacePool
from nas.data import load_data
from nas.errors import MixnasError
from nas.latency import Device, MeasurementSettings, open_device
from nas.latency.prediction.genotype import GenotypeLatency
from nas.latency.prediction.predictor import Predictor, load_predictor
from nas.limits import Limit, parse_limit
from nas.objective import Objective, open_objective
from nas.samplers import GenotypeSampler, SamplerFactory, SearchProblem, find_sampler
from nas.search.directory import SearchConfig
from nas.search.retraining import RetrainingEstimator, retraining, wanted_networks
from nas.space import Space
from nas.spec import NetworkSpec, load_network


@dataclass(frozen=True)
class SearchComponents:
    """What a configuration names, opened; nothing has been written yet."""

    space: Space
    limits: list[Limit]
    device: Device
    estimator: Estimator
    retraining: RetrainingEstimator | None
    objective: Objective
    sampler: SamplerFactory
    references: dict[str, NetworkSpec]

    @property
    def latency_limits(self) -> list[Limit]:
        """The limits that are kept by measuring, the space's own and the given ones."""
        return [limit for limit in (*self.space.limits, *self.limits) if limit.metric == "latency"]


def prepare_device(
    components: SearchComponents, config: SearchConfig, console: Console
) -> Predictor | None:
    """Examine the device if need be; return its predictor if that is wanted or there.

    Raises:
        MixnasError: when a predictor is wanted and there is none that fits.
    """
    with cli.progress_bar(console, f"examining {config.device}") as step:
        components.device.prepare(step)
    if config.latency == "measured":
        return None
    try:
        predictor = load_predictor(components.device, components.space, config.space)
    except MixnasError:
        if config.latency == "predicted":
            raise
        return None
    if console.is_terminal:
        console.print(f"latency: predicted ({predictor.when}); that of the front is measured")
    return predictor


def open_sampler_of(
    components: SearchComponents, config: SearchConfig, predictor: Predictor | None
) -> GenotypeSampler:
    """Open the sampler, which is told latency by the predictor or learns it from the trials.

    Raises:
        MixnasError: when a sampler of one's own is none.
    """
    device = components.device
    model = None if predictor is None else predictor.model
    latency = GenotypeLatency(components.space, device.form_choice(), device.conditions, model)
    problem = SearchProblem(
        components.space,
        tuple(components.limits),
        config.seed,
        components.objective,
        latency,
        tuple(components.latency_limits),
        max_score_of(components.estimator),
    )
    return components.sampler(problem)


def _open_device(config: SearchConfig) -> Device:
    if config.ray is None:
        return open_device(config.device)
    from nas.executors.ray_cluster import cluster_device, connect  # Ray takes seconds to import

    connect(config.ray, config.workers * config.threads)
    return cluster_device(config.device, MeasurementSettings())


def open_components(config: SearchConfig, space: Space) -> SearchComponents:
    """Open everything that a configuration names.

    Raises:
        MixnasError: when there is no such thing.
    """
    classes = load_data(config.data).num_classes
    space = space.with_classes(classes)
    if space.input_channels != (3,):
        raise MixnasError(
            f"'{space.name}' takes images of {space.input_channels} channels, but the data has 3; "
            "set input: {channels: 3}"
        )
    limits = [parse_limit(metric, text) for metric, text in config.limits.items()]
    population = SpacePool(space, tuple(limits))
    estimator = open_estimator(config.estimator, config.data, population, config.seed)
    objective = open_objective(config.objective, config.target)
    if objective.target_ms is not None and max_score_of(estimator) != 1:
        raise MixnasError(
            f"the objective '{config.objective}' is made of accuracies from 0 to 1, which the "
            f"estimator '{config.estimator}' does not give; use pareto, or another estimator"
        )
    return SearchComponents(
        space,
        limits,
        _open_device(config),
        estimator,
        retraining(estimator, config.data, config.retrain) if wanted_networks(config) else None,
        objective,
        find_sampler(config.sampler),
        {
            name: load_network(name).replace(num_classes=classes, name=name)
            for name in config.references
        },
    )
