"""Making a latency predictor: measure a designed set of networks, fit, and check the errors."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterable

import numpy as np

from nas.cost import count
from nas.errors import MixnasError, UnrunnableError
from nas.latency.conditions import Latency
from nas.latency.deployment import rule_named
from nas.latency.device import Device
from nas.latency.prediction.kept import KeptLatencies
from nas.latency.prediction.observations import Observation, observe
from nas.latency.prediction.predictor import (
    ErrorCard,
    Predictor,
    error_card,
    network_features,
    space_digest,
)
from nas.latency.protocol import Effort
from nas.latency.quiet import quieter
from nas.limits import Limit
from nas.progress import Step
from nas.space import Space, sample_many
from nas.spec import NetworkSpec
from nas.units import number_of

EFFORT = Effort(rounds=12, seconds=0.9, precision=0.007, warm_seconds=0.3)
PASSES = 3  # maximum number of measurements of one network
POOL = 8  # networks drawn for each one measured
FEWEST = 10  # networks that a predictor is fitted to


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
    samples = sample_many(space, rng, POOL * number, bounds)
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
    # Bounded, since a small space may have too few others.
    for one in sample_many(space, rng, POOL * number, bounds):
        spec = space.decode(one.genotype)
        if len(specs) < number and spec.digest() not in excluded:
            specs[spec.digest()] = spec
    return list(specs.values())


def measure_all(
    device: Device,
    specs: list[NetworkSpec],
    step: Step | None = None,
    done: int = 0,
    of: int = 0,
    kept: KeptLatencies | None = None,
) -> list[tuple[NetworkSpec, Latency]]:
    """Measure networks one after the other, and repeat noisy measurements.

    Repetitions are made after all networks were measured, because a disturbance lasts for a while.
    Networks that the device cannot run are left out.

    Args:
        device: Device to measure on.
        specs: Networks to measure.
        step: Progress callback.
        done: Number of networks already done, for the progress callback.
        of: Total number of networks, for the progress callback; 0 for the number of `specs`.
        kept: Where latencies are kept; those of an earlier call are not measured again, unless
            they are noisy.

    Returns:
        The networks that the device runs with their latencies, in the order of `specs`.

    Raises:
        MixnasError: If the device is not available.
    """
    latencies: dict[int, Latency] = {}
    unrunnable: set[int] = set()
    if kept is not None:
        earlier = {index: kept.get(spec) for index, spec in enumerate(specs)}
        latencies = {index: found for index, found in earlier.items() if found is not None}
    for _ in range(PASSES):
        pending = [
            index
            for index in range(len(specs))
            if index not in unrunnable and (index not in latencies or latencies[index].noise)
        ]
        for index in pending:
            try:
                latency = device.measure(specs[index], EFFORT)
            except UnrunnableError:
                unrunnable.add(index)
                continue
            previous = latencies.get(index)
            if previous is None or quieter(latency, previous):
                latencies[index] = latency
                if kept is not None:
                    kept.put(specs[index], latency)
            if step is not None:
                step(done + len(latencies), of or len(specs))
    return [(specs[index], latencies[index]) for index in sorted(set(latencies) - unrunnable)]


def fit_predictor(
    device: Device,
    space: Space,
    number: int,
    rng: random.Random,
    limits: Iterable[Limit] = (),
    step: Step | None = None,
    checks: int = 0,
    kept: KeptLatencies | None = None,
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
        kept: Where latencies are kept: after an interruption, a call with the same arguments
            continues where the first one stopped.

    Raises:
        MixnasError: If the device can run too few networks, if a limit concerns the latency, if no
            network is within the limits, or if no further network is left for the error card.
    """
    bounds = list(limits)
    _refuse_latency(bounds)
    device.prepare()
    design_specs = design(space, number, rng, bounds)
    total = len(design_specs) + checks
    fitted = measure_all(device, design_specs, step, done=0, of=total, kept=kept)
    _refuse_few(len(fitted), len(design_specs), device, space)
    predictor = Predictor(
        conditions=device.conditions,
        space=space.name,
        space_digest=space_digest(space) if kept is None else kept.space_digest,
        profile_digest=device.profile.digest(),
        observations=tuple(observed(device, spec, latency) for spec, latency in fitted),
    )
    if checks:
        known = [spec.digest() for spec in design_specs]
        fresh = draw(space, checks, rng, limits=bounds, without=known)
        measured = measure_all(device, fresh, step, done=len(design_specs), of=total, kept=kept)
        if not measured:
            raise MixnasError(
                f"'{space.name}' has no networks within the limits besides the {len(known)} that "
                "the predictor is fitted to; give fewer --networks or widen the limits"
            )
        card = check_predictor(predictor, device, measured)
        predictor = dataclasses.replace(predictor, card=card)
    return predictor


def observed(device: Device, spec: NetworkSpec, latency: Latency) -> Observation:
    """Return what a predictor learns from a network that was measured on a device."""
    choice, conditions = device.form_choice(), device.conditions
    return observe(
        latency, lambda form: network_features(spec, rule_named(form, choice), conditions)
    )


def _refuse_few(fitted: int, asked: int, device: Device, space: Space) -> None:
    if fitted < min(FEWEST, asked):
        raise MixnasError(
            f"{device.name} runs only {fitted} of {number_of(asked, 'network')} of "
            f"'{space.name}', too few for "
            "a predictor; run python -m nas.measure on one of them to see why"
        )


def _refuse_latency(limits: Iterable[Limit]) -> None:
    """Refuse limits on what is known only after networks were measured."""
    for limit in limits:
        if limit.metric == "latency":
            raise MixnasError(
                f"a fit cannot keep the limit {limit}, because a latency is known only after the "
                "network was measured; limit another cost, such as madds=400M, and the predictor "
                "says which latencies it has learned"
            )


def check_predictor(
    predictor: Predictor, device: Device, measured: list[tuple[NetworkSpec, Latency]]
) -> ErrorCard:
    """Compare a predictor with the measured latencies of networks that it was not fitted to."""
    choice = device.form_choice()
    return error_card(
        predicted=np.array([predictor.fastest(spec, choice)[1] for spec, _ in measured]),
        measured=np.array([latency.steady_ms for _, latency in measured]),
        madds=np.array([count(spec).madds for spec, _ in measured]),
    )
