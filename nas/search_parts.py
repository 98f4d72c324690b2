"""What a search is made of: everything that its configuration names, opened and checked."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console

from nas import cli
from nas.accuracy import Estimator, open_estimator
from nas.data import load_data
from nas.errors import MixnasError
from nas.latency import Device, open_device
from nas.latency.predictor import Predictor, load_predictor
from nas.limits import Limit, parse_limit
from nas.objective import Objective, open_objective
from nas.run_directory import SearchConfig
from nas.samplers import LimitedSampler, open_sampler
from nas.space import Space
from nas.spec import NetworkSpec, load_network


@dataclass(frozen=True)
class Parts:
    """What a configuration names, opened; nothing has been written yet."""

    space: Space
    limits: list[Limit]
    device: Device
    estimator: Estimator
    sampler: LimitedSampler
    objective: Objective
    references: dict[str, NetworkSpec]


def prepare_device(parts: Parts, config: SearchConfig, console: Console) -> Predictor | None:
    """Examine the device if need be; return its predictor if that is wanted or there.

    Raises:
        MixnasError: when a predictor is wanted and there is none that fits.
    """
    with cli.progress_bar(console, f"examining {config.device}") as step:
        parts.device.prepare(step)
    if config.latency == "measured":
        return None
    try:
        predictor = load_predictor(parts.device, parts.space, config.space)
    except MixnasError:
        if config.latency == "predicted":
            raise
        return None
    if console.is_terminal:
        console.print(f"latency: predicted ({predictor.when}); that of the front is measured")
    return predictor


def open_parts(config: SearchConfig, space: Space) -> Parts:
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
    return Parts(
        space,
        limits,
        open_device(config.device),
        open_estimator(config.estimator, config.data),
        open_sampler(config.sampler, space, limits, config.seed),
        open_objective(config.objective, config.target),
        {
            name: load_network(name).replace(num_classes=classes, name=name)
            for name in config.references
        },
    )
