"""The price of a search: how long its phases will take, told before they begin.

Some networks of the space are trained for a few steps, and the rest is arithmetic. Images that are
decoded while they are needed, other work on the machine and a cluster are not accounted for.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from nas.accuracy.fidelity import shown_at, widened
from nas.accuracy.short import ShortTraining
from nas.accuracy.supernet import Supernet
from nas.accuracy.supernet.training import keep_kernels
from nas.executors.base import Resources
from nas.latency.device import LocalDevice
from nas.latency.profile import load_profile
from nas.search.components import SearchComponents
from nas.search.config import RETRAINING_SEEDS, SearchConfig
from nas.space.sampling import sample_many
from nas.spec import NetworkSpec
from nas.torch_model import build
from nas.train.placement import open_placement, to_host
from nas.units import number_of

DRAWN = 3  # networks whose first steps are timed
FURTHER = 3  # steps of a network that are timed after its first one; their median counts
MOST_COPIES = 4  # networks that are trained side by side
SOON_OVER = 20_000  # images; a search that sees fewer is not worth a price
MEASURING_SECONDS = 4.0  # the latency of a network: its forms in turns, then the fastest
EXAMINING_SECONDS = 35.0  # a device that has no profile yet
JUDGING_SHARE = 1 / 3  # of the arithmetic of a training step: the forward pass


@dataclass(frozen=True)
class PricedPhase:
    """A phase of a search.

    Attributes:
        name: What happens in it.
        seconds: How long it is expected to take.
    """

    name: str
    seconds: float


def expected_phases(components: SearchComponents, config: SearchConfig) -> list[PricedPhase]:
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
    if sum(work.images) < SOON_OVER:
        return []
    rng = random.Random(config.seed)
    found = sample_many(components.space, rng, DRAWN, components.limits)
    found.sort(key=lambda sample: sample.cost.madds)
    drawn = [components.space.decode(sample.genotype) for sample in found]
    middle = drawn[len(drawn) // 2]
    workers = components.placements.for_trials(Resources(config.workers, config.threads))
    preparing = 0.0
    if isinstance(estimator, Supernet) and work.supernet:
        preparing = work.supernet * first_steps(estimator, drawn) / estimator.recipe.batch_size
    judging = further_steps(estimator, middle, workers)
    preparing += work.compared * judging  # by one process
    phases = []
    if preparing:
        phases.append(PricedPhase("supernet", preparing))
    if work.examined:
        phases.append(PricedPhase("device", work.examined * EXAMINING_SECONDS))
    scoring = work.scored * judging / workers.workers
    measuring = work.networks * work.measured * MEASURING_SECONDS
    phases.append(PricedPhase(number_of(work.networks, "network"), scoring + measuring))
    if components.retraining is not None:
        short = components.retraining.short
        seconds = further_steps(short, middle, workers) / workers.workers
        phases.append(PricedPhase("retraining", work.retrained * seconds))
    return phases


@dataclass(frozen=True)
class Work:
    """What a search is going to do.

    Attributes:
        supernet: Images that a process sees while the supernet is trained; 0 if it has been.
        compared: Images that it sees afterwards, of networks that tell how estimates vary; counted
            as in `scored`.
        networks: Number of networks that are judged.
        scored: Images that are trained on for that, over all networks; those that are only looked
            at count for `JUDGING_SHARE`.
        examined: Number of devices that are examined first.
        measured: Number of devices on which a network is measured.
        retrained: Images that the retraining sees, over all networks and seeds.
    """

    supernet: float
    compared: float
    networks: int
    scored: float
    examined: int
    measured: int
    retrained: int

    @property
    def images(self) -> tuple[float, float, float]:
        """Images that are seen, by phase."""
        return self.supernet + self.compared, self.scored, self.retrained


def _work(
    estimator: Supernet | ShortTraining, components: SearchComponents, config: SearchConfig
) -> Work:
    train, validation = (components.data.count(part) for part in ("train", "validation"))

    def seen(training: Supernet | ShortTraining) -> int:
        return min(training.images, training.most_epochs * train)

    networks = config.trials + len(config.references)
    supernet = compared = 0.0
    looked_at = min(estimator.validation or validation, validation)
    if isinstance(estimator, Supernet):
        if not estimator.path.is_file():
            supernet = seen(estimator) * estimator.paths / estimator.trained_by
        each = JUDGING_SHARE * (looked_at + estimator.calibration)
        if estimator.short:
            each += estimator.short + JUDGING_SHARE * looked_at
        compared = estimator.to_compare * each
    else:
        each = JUDGING_SHARE * looked_at + seen(estimator)
    again = components.retraining
    retrained = config.networks_to_retrain + len(config.references)
    return Work(
        supernet=supernet,
        compared=compared,
        networks=networks,
        scored=networks * each,
        examined=sum(
            isinstance(each.device, LocalDevice) and load_profile(each.device.conditions) is None
            for each in components.devices
        ),
        measured=0 if config.latency == "predicted" else len(config.devices),
        retrained=0 if again is None else retrained * RETRAINING_SEEDS * seen(again.short),
    )


def in_words(phases: Sequence[PricedPhase]) -> str:
    """Return phases as a line for the user, such as ``about 9 minutes: supernet 4, ...``."""
    total = sum(phase.seconds for phase in phases)
    unit, size = ("hours", 3600.0) if total >= 2 * 3600 else ("minutes", 60.0)
    parts = ", ".join(f"{phase.name} {_amount(phase.seconds / size)}" for phase in phases)
    return f"expected to take about {_amount(total / size)} {unit}: {parts}"


def _amount(value: float) -> str:
    return f"{value:.0f}" if value >= 9.5 else f"{value:.1f}".removesuffix(".0")


def first_steps(estimator: Supernet | ShortTraining, networks: Sequence[NetworkSpec]) -> float:
    """Train networks for one step each; return how long one takes, in seconds.

    Every step of a supernet is the first one of another network, which is built for it and whose
    shapes are new to the libraries below torch.

    Args:
        estimator: How and where to train.
        networks: The networks; the first one warms the device up, too.

    Raises:
        EstimateError: If a network cannot be trained at the estimator's resolution.
        torch.OutOfMemoryError: If the device's memory does not suffice for a whole batch.
    """
    keep_kernels()  # also for the supernet's training, which comes later
    times = []
    for spec in (networks[0], *networks):
        started = time.perf_counter()
        next(_steps(estimator, spec))
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


def further_steps(
    estimator: Supernet | ShortTraining, network: NetworkSpec, workers: Resources
) -> float:
    """Train a network for some steps; return how long it takes for an image, in seconds.

    On a CPU, copies of the network are trained side by side, one for each worker but `MOST_COPIES`
    at most, since cores share caches and memory, and often more. They run in threads of this
    process, which stand for the workers' processes only roughly.

    Args:
        estimator: How and where to train.
        network: The network.
        workers: How many worker processes train at once, and with how many threads.

    Raises:
        EstimateError: If the network cannot be trained at the estimator's resolution.
        torch.OutOfMemoryError: If the device's memory does not suffice for a whole batch.
    """

    def usual_step(steps: Iterator[float]) -> float:
        ends = [time.perf_counter(), *(next(steps) for _ in range(FURTHER))]
        return statistics.median(map(float.__sub__, ends[1:], ends))

    copies = min(workers.workers, MOST_COPIES) if estimator.placement.kind == "cpu" else 1
    before = torch.get_num_threads()
    torch.set_num_threads(workers.threads)
    try:
        trainings = [_steps(estimator, network) for _ in range(copies)]
        for steps in trainings:  # one after the other, since building draws random numbers
            next(steps)
        with ThreadPoolExecutor(copies) as pool:
            seconds = statistics.mean(pool.map(usual_step, trainings))
    finally:
        torch.set_num_threads(before)
    return seconds / estimator.recipe.batch_size


def _steps(estimator: Supernet | ShortTraining, network: NetworkSpec) -> Iterator[float]:
    """Train a network on empty images, and yield when each step ended."""
    placement = open_placement(estimator.placement, estimator.resolution)
    side, size = estimator.resolution, estimator.recipe.batch_size
    model = placement.place(build(shown_at(widened(network, estimator.width), side), seed=0))
    optimiser = torch.optim.SGD(model.parameters(), lr=0.0)
    images, labels = torch.zeros(size, 3, side, side), torch.zeros(size, dtype=torch.long)
    images, labels = placement.to_device(images, labels)
    while True:
        with placement.autocast():
            logits = model(images)
        loss = F.cross_entropy(logits.float(), labels)
        placement.backward(loss)
        placement.step(optimiser)
        to_host(loss.detach())
        yield time.perf_counter()
