"""Making a latency predictor: measure a designed set of networks, fit, and check the errors."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterable

import numpy as np

from nas.cost import count
from nas.errors import MixnasError
from nas.latency.conditions import Latency
from nas.latency.device import Device, quieter
from nas.latency.prediction.predictor import (
    ErrorCard,
    Predictor,
    error_card,
    network_features,
    space_digest,
    trust,
)
from nas.latency.protocol import Effort
from nas.limits import Limit
from nas.progress import Step
from nas.space import Space, sample
from nas.spec import NetworkSpec

EFFORT = Effort(rounds=12, seconds=0.9, precision=0.007, warm_seconds=0.3)
PASSES = 3  # maximum number of measurements of one network
POOL = 8  # networks drawn for each one measured


def design(
    space: Space, number: int, rng: random.Random, limits: Iterable[Limit] = ()
) -> list[NetworkSpec]:
    """Choose training networks that are spread evenly over the range of MAdds.

    Args:
        space: Space to draw from.
        number: Number of networks; a small space may give fewer.
        rng: Source of randomness.
        limits: Limits on costs, in addition to the space's own.

    Raises:
        MixnasError: If no network of the space is within the limits.
    """
    bounds = list(limits)
    samples = [sample(space, rng, bounds) for _ in range(POOL * number)]
    pool = list({candidate.genotype: candidate for candidate in samples}.values())
    pool.sort(key=lambda candidate: candidate.cost.madds)
    low, high = pool[0].cost.madds, pool[-1].cost.madds
    chosen: list[NetworkSpec] = []
    for target in np.linspace(low, high, min(number, len(pool))):
        nearest = min(pool, key=lambda candidate: abs(candidate.cost.madds - target))
        pool.remove(nearest)
        chosen.append(space.decode(nearest.genotype))
    rng.shuffle(chosen)
    return chosen


def draw(
    space: Space,
    number: int,
    rng: random.Random,
    limits: Iterable[Limit] = (),
    without: Iterable[str] = (),
) -> list[NetworkSpec]:
    """Draw distinct networks as a search would.

    Args:
        space: Space to draw from.
        number: Number of networks; a small space may give fewer.
        rng: Source of randomness.
        limits: Limits on costs, in addition to the space's own.
        without: Digests of networks to leave out.

    Raises:
        MixnasError: If no network of the space is within the limits.
    """
    bounds = list(limits)
    specs: dict[str, NetworkSpec] = {}
    excluded = set(without)
    for _ in range(POOL * number):  # bounded, since a small space may have too few others
        spec = space.decode(sample(space, rng, bounds).genotype)
        if len(specs) < number and spec.digest() not in excluded:
            specs[spec.digest()] = spec
    return list(specs.values())


def measure_all(
    device: Device, specs: list[NetworkSpec], step: Step | None = None, done: int = 0, of: int = 0
) -> list[Latency]:
    """Measure networks one after the other, and repeat noisy measurements.

    Repetitions are made after all networks were measured, because a disturbance lasts for a while.

    Args:
        device: Device to measure on.
        specs: Networks to measure.
        step: Progress callback.
        done: Number of networks already done, for the progress callback.
        of: Total number of networks, for the progress callback; 0 for the number of `specs`.

    Returns:
        The latencies in the order of `specs`.

    Raises:
        MixnasError: If the device cannot run a network.
    """
    latencies: dict[int, Latency] = {}
    pending = list(range(len(specs)))
    for _ in range(PASSES):
        for index in pending:
            latency = device.measure(specs[index], EFFORT)
            previous = latencies.get(index)
            if previous is None or quieter(latency, previous):
                latencies[index] = latency
            if step is not None:
                step(done + len(latencies), of or len(specs))
        pending = [index for index in pending if latencies[index].noise]
    return [latencies[index] for index in range(len(specs))]


def fit_predictor(
    device: Device,
    space: Space,
    number: int,
    rng: random.Random,
    limits: Iterable[Limit] = (),
    step: Step | None = None,
    checks: int = 0,
) -> Predictor:
    """Measure networks of a space and fit a predictor, without saving it.

    Args:
        device: Device to measure on.
        space: Space of the networks.
        number: Number of training networks.
        rng: Source of randomness.
        limits: Limits on costs, in addition to the space's own.
        step: Called with the number of networks measured and their total number.
        checks: Number of further networks for the error card; 0 for no error card.

    Raises:
        MixnasError: If the device cannot run a network, if no network is within the limits, or if
            no further network is left for the error card.
    """
    bounds = list(limits)
    device.prepare()
    total = number + checks
    specs = design(space, number, rng, bounds)
    latencies = measure_all(device, specs, step, done=0, of=total)
    choice, conditions = device.form_choice(), device.conditions
    predictor = Predictor(
        conditions=conditions,
        space=space.name,
        space_digest=space_digest(space),
        profile_digest=device.profile.digest(),
        features=tuple(network_features(spec, choice, conditions) for spec in specs),
        latencies_ms=tuple(latency.steady_ms for latency in latencies),
        trust=tuple(trust(latency) for latency in latencies),
    )
    if not checks:
        return predictor
    fresh = draw(space, checks, rng, limits=bounds, without=[spec.digest() for spec in specs])
    if not fresh:
        raise MixnasError(
            f"'{space.name}' has no networks within the limits besides the {len(specs)} that the "
            "predictor is fitted to; give fewer --networks or widen the limits"
        )
    measured = measure_all(device, fresh, step, done=number, of=total)
    card = check_predictor(predictor, device, fresh, measured)
    return dataclasses.replace(predictor, card=card)


def check_predictor(
    predictor: Predictor, device: Device, specs: list[NetworkSpec], latencies: list[Latency]
) -> ErrorCard:
    """Compare a predictor with the measured latencies of networks that it was not fitted to."""
    choice, conditions = device.form_choice(), device.conditions
    predicted = predictor.predict_ms([network_features(s, choice, conditions) for s in specs])
    measured = np.array([latency.steady_ms for latency in latencies])
    return error_card(predicted, measured, np.array([count(spec).madds for spec in specs]))
