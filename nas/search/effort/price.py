"""The price of a search: how long its phases will take, told before they begin.

Some networks of the space are trained for a few steps, and the rest is arithmetic. Images that are
decoded while they are needed, other work on the machine and a cluster are not accounted for.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.accuracy.fidelity import shown_at, widened
from nas.accuracy.short import ShortTraining
from nas.accuracy.supernet import Supernet
from nas.search.components import SearchComponents
from nas.search.config import RETRAINING_SEEDS, SearchConfig
from nas.space.sampling import sample_many
from nas.spec import NetworkSpec
from nas.torch_model import build
from nas.train.placement import Placement, open_placement, to_host
from nas.units import number_of

DRAWN = 3  # networks that are timed
FEWEST_IMAGES = 20_000  # a search that sees fewer is soon over
MEASURING_SECONDS = 3.0  # the latency of a network: its forms in turns, then the fastest
JUDGING_SHARE = 1 / 3  # of the arithmetic of a training step: the forward pass


@dataclass(frozen=True)
class Phase:
    """A phase of a search.

    Attributes:
        name: What happens in it.
        seconds: How long it is expected to take.
    """

    name: str
    seconds: float


@dataclass(frozen=True)
class StepTimes:
    """What a step of training takes.

    Attributes:
        first: Seconds of a network's first step, its construction included; every step of a
            supernet is the first one of another network.
        further: Seconds of each further step.
        images: Images of a step.
    """

    first: float
    further: float
    images: int

    @property
    def per_image(self) -> float:
        """Seconds that an image takes in a network which is trained for long."""
        return self.further / self.images


def expected_phases(components: SearchComponents, config: SearchConfig) -> list[Phase]:
    """Return the phases of a search, and how long each of them will take.

    Args:
        components: What the search consists of.
        config: Its configuration.

    Returns:
        The phases in their order; none if the search is soon over, or if the time is not known
        beforehand: on a Ray cluster, and with estimators other than a supernet and short training.
    """
    estimator = components.estimator
    if config.ray is not None or not isinstance(estimator, Supernet | ShortTraining):
        return []
    work = _work(estimator, components, config)
    if sum(work.images) < FEWEST_IMAGES:
        return []
    rng = random.Random(config.seed)
    drawn = [
        components.space.decode(found.genotype)
        for found in sample_many(components.space, rng, DRAWN, components.limits)
    ]
    times = timed_steps(estimator, drawn)
    scoring = work.scored * times.per_image
    phases = []
    if isinstance(estimator, Supernet):
        scoring += work.networks * times.first  # a network is built for it
        if work.supernet:
            phases.append(Phase("supernet", work.supernet * times.first / times.images))
    scoring += work.networks * work.measured * MEASURING_SECONDS
    phases.append(Phase(number_of(work.networks, "network"), scoring))
    if components.retraining is not None:
        again = timed_steps(components.retraining.short, drawn)
        phases.append(Phase("retraining", work.retrained * again.per_image))
    return phases


@dataclass(frozen=True)
class Work:
    """What a search is going to do.

    Attributes:
        supernet: Images that a process sees while the supernet is trained; 0 if it has been.
        networks: Number of networks that are judged.
        scored: Images that are trained on for that, over all networks; those that are only looked
            at count for `JUDGING_SHARE`.
        measured: Number of devices on which a network is measured.
        retrained: Images that the retraining sees, over all networks and seeds.
    """

    supernet: float
    networks: int
    scored: float
    measured: int
    retrained: int

    @property
    def images(self) -> tuple[float, float, float]:
        """Images that are seen, by phase."""
        return self.supernet, self.scored, self.retrained


def _work(
    estimator: Supernet | ShortTraining, components: SearchComponents, config: SearchConfig
) -> Work:
    train, validation = (components.data.count(part) for part in ("train", "validation"))

    def seen(training: Supernet | ShortTraining) -> int:
        return min(training.images, training.most_epochs * train)

    networks = config.trials + len(config.references)
    supernet = 0.0
    scored = networks * JUDGING_SHARE * min(estimator.validation or validation, validation)
    if isinstance(estimator, Supernet):
        scored += networks * JUDGING_SHARE * estimator.calibration
        if not estimator.path.is_file():
            supernet = seen(estimator) * estimator.paths / estimator.trained_by
    else:
        scored += networks * seen(estimator)
    again = components.retraining
    retrained = config.networks_to_retrain + len(config.references)
    return Work(
        supernet=supernet,
        networks=networks,
        scored=scored,
        measured=0 if config.latency == "predicted" else len(config.devices),
        retrained=0 if again is None else retrained * RETRAINING_SEEDS * seen(again.short),
    )


def in_words(phases: Sequence[Phase]) -> str:
    """Return phases as a line for the user, such as ``about 9 minutes: supernet 4, ...``."""
    total = sum(phase.seconds for phase in phases)
    unit, size = ("hours", 3600.0) if total >= 2 * 3600 else ("minutes", 60.0)
    parts = ", ".join(f"{phase.name} {_amount(phase.seconds / size)}" for phase in phases)
    return f"expected to take about {_amount(total / size)} {unit}: {parts}"


def _amount(value: float) -> str:
    return f"{value:.0f}" if value >= 9.5 else f"{value:.1f}".removesuffix(".0")


def timed_steps(estimator: Supernet | ShortTraining, networks: Sequence[NetworkSpec]) -> StepTimes:
    """Train networks for two steps each, and return the medians of their times.

    Args:
        estimator: How and where to train.
        networks: The networks.

    Raises:
        MixnasError: If a network cannot be trained at the estimator's resolution.
    """
    placement = open_placement(estimator.placement, estimator.resolution)
    size, side = estimator.recipe.batch_size, estimator.resolution
    images, labels = torch.zeros(size, 3, side, side), torch.zeros(size, dtype=torch.long)
    images, labels = placement.to_device(images, labels)
    first, further = [], []
    for number, spec in enumerate((networks[0], *networks)):  # the first one warms the device up
        started = time.perf_counter()
        model = placement.place(build(shown_at(widened(spec, estimator.width), side), seed=0))
        optimiser = torch.optim.SGD(model.parameters(), lr=0.0)
        ends = [_step(placement, model, optimiser, images, labels) for _ in range(2)]
        if number:
            first.append(ends[0] - started)
            further.append(ends[1] - ends[0])
    return StepTimes(statistics.median(first), statistics.median(further), size)


def _step(
    placement: Placement,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    images: Tensor,
    labels: Tensor,
) -> float:
    """Take a step of training; return when it ended."""
    with placement.autocast():
        logits = model(images)
    loss = F.cross_entropy(logits.float(), labels)
    placement.backward(loss)
    placement.step(optimiser)
    to_host(loss.detach())
    return time.perf_counter()
