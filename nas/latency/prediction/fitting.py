"""Making a device's latency predictor: measure a designed set of networks, fit, check."""

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
)
from nas.latency.protocol import Effort
from nas.limits import Limit
from nas.progress import Step
from nas.space import Space, sample
from nas.spec import NetworkSpec

EFFORT = Effort(rounds=12, seconds=0.9, precision=0.007, warm_seconds=0.3)
PASSES = 3
NOISY = 0.1  # trust in what was measured on a noisy machine
POOL = 8  # networks drawn for each that is measured


def design(
    space: Space, number: int, rng: random.Random, limits: Iterable[Limit] = ()
) -> list[NetworkSpec]:
    """Choose networks to learn from: spread evenly over the range of MAdds.

    Args:
        space: to draw from.
        number: of networks.
        rng: decides everything random.
        limits: on costs, beside the space's own.
    """
    bounds = list(limits)
    found = [sample(space, rng, bounds) for _ in range(POOL * number)]
    drawn = list({one.genotype: one for one in found}.values())
    drawn.sort(key=lambda one: one.cost.madds)
    low, high = drawn[0].cost.madds, drawn[-1].cost.madds
    chosen: list[NetworkSpec] = []
    left = list(drawn)
    for wanted in np.linspace(low, high, min(number, len(drawn))):
        nearest = min(left, key=lambda one: abs(one.cost.madds - wanted))
        left.remove(nearest)
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
    """Draw different networks as a search would; fewer where a space has not so many.

    Args:
        space: to draw from.
        number: of networks.
        rng: decides everything random.
        limits: on costs, beside the space's own.
        without: digests of networks to leave out.
    """
    bounds = list(limits)
    drawn: dict[str, NetworkSpec] = {}
    known = set(without)
    for _ in range(POOL * number):  # a small space may not have so many others
        spec = space.decode(sample(space, rng, bounds).genotype)
        if len(drawn) < number and spec.digest() not in known:
            drawn[spec.digest()] = spec
    return list(drawn.values())


def measure_all(
    device: Device, specs: list[NetworkSpec], step: Step | None = None, done: int = 0, of: int = 0
) -> list[Latency]:
    """Measure networks one after the other, and those again that a noisy machine was measured on.

    They come last: a machine that is slow for a while measures all alike, and wrongly.
    """
    latencies: dict[int, Latency] = {}
    left = list(range(len(specs)))
    for _ in range(PASSES):
        for index in left:
            latency = device.measure(specs[index], EFFORT)
            known = latencies.get(index)
            if known is None or quieter(latency, known):
                latencies[index] = latency
            if step is not None:
                step(done + len(latencies), of or len(specs))
        left = [index for index in left if latencies[index].noise]
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
    """Measure networks of a space and make a predictor, which is not saved yet.

    Args:
        device: to measure on.
        space: that predictions are for.
        number: of networks to learn from.
        rng: decides everything random.
        limits: on costs, beside the space's own.
        step: told how many networks are measured.
        checks: fresh networks for the error card.

    Raises:
        MixnasError: when the device cannot run a network, or no network is within the limits.
    """
    bounds = list(limits)
    device.prepare()
    total = number + checks
    specs = design(space, number, rng, bounds)
    latencies = measure_all(device, specs, step, 0, total)
    choice, conditions = device.form_choice(), device.conditions
    predictor = Predictor(
        conditions,
        space.name,
        space_digest(space),
        device.profile.digest(),
        tuple(network_features(spec, choice, conditions) for spec in specs),
        tuple(latency.steady_ms for latency in latencies),
        tuple(NOISY if latency.noise else 1.0 for latency in latencies),
    )
    if not checks:
        return predictor
    fresh = draw(space, checks, rng, bounds, [spec.digest() for spec in specs])
    if not fresh:
        raise MixnasError(
            f"'{space.name}' has no networks within the limits but the {len(specs)} learned from; "
            "give fewer --networks, or widen the limits"
        )
    measured = measure_all(device, fresh, step, number, total)
    card = check_predictor(predictor, device, fresh, measured)
    return dataclasses.replace(predictor, card=card)


def check_predictor(
    predictor: Predictor, device: Device, specs: list[NetworkSpec], latencies: list[Latency]
) -> ErrorCard:
    """Compare a predictor with measurements of networks that it has not seen."""
    choice, conditions = device.form_choice(), device.conditions
    predicted = predictor.predict_ms([network_features(s, choice, conditions) for s in specs])
    measured = np.array([latency.steady_ms for latency in latencies])
    return error_card(predicted, measured, np.array([count(spec).madds for spec in specs]))
