"""Scores of untrained networks: seconds a network, and no claim to be an accuracy.

Which of them rank networks, and how well, is shown by ``python -m nas.rank``; the counts of
parameters and multiply-adds stand beside as what a score must beat to be worth its price.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F

from nas.accuracy.base import Estimate, EstimateError
from nas.accuracy.fidelity import prepare_data, shared_data
from nas.cost import count
from nas.data import load_data
from nas.errors import MixnasError, unknown
from nas.progress import Step
from nas.spec import NetworkSpec
from nas.torch_model import Network, build
from nas.train.augment import Augmentation
from nas.train.batches import Batches, mixed_seed
from nas.train.recipe import Recipe

BATCHES = 2  # the fewest that have a variance (Li et al. 2023, section 3.3)
Batch = tuple[Tensor, Tensor]
Score = Callable[[Network, list[Batch]], float]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class ZeroCost:
    """Scores networks as they are initialised, on a few batches of the training part.

    Attributes:
        data: name of the data set.
        score: one of `SCORES`.
        resolution: side of the images in pixels.
        batch_size: images a batch, of which there are two.
    """

    data: str = "digits"
    score: str = "naswot"
    resolution: Annotated[int, Field(ge=8, le=2048)] = 32
    batch_size: Annotated[int, Field(ge=2)] = 64
    max_score: None = None

    def __post_init__(self) -> None:
        """Check the score.

        Raises:
            MixnasError: when there is no such one.
        """
        if self.score not in SCORES:
            raise MixnasError(unknown("zero-cost score", self.score, SCORES))

    @property
    def label(self) -> str:
        """See `Estimator.label`."""
        return self.score

    def fingerprint(self) -> dict[str, Any]:
        """See `Estimator.fingerprint`."""
        return {
            "estimator": f"zero-cost:{self.score}",
            "data_fingerprint": load_data(self.data).fingerprint(),
            "resolution": self.resolution,
            "batch_size": self.batch_size,
        }

    def prepare(self, step: Step | None = None) -> list[str]:
        """See `PreparedEstimator`: images are decoded."""
        return prepare_data(self.data, self.resolution, step)

    def estimate(self, spec: NetworkSpec, seed: int) -> Estimate:
        """See `Estimator.estimate`; there is a score, and no accuracy."""
        started = time.perf_counter()
        model = build(spec, seed)
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        torch.manual_seed(mixed_seed(seed))
        value = SCORES[self.score](model, self._batches(seed))
        if not math.isfinite(value):
            raise EstimateError(f"its {self.score} score is {value}")
        return Estimate(None, None, round(time.perf_counter() - started, 3), seed, value)

    def _batches(self, seed: int) -> list[Batch]:
        """Return the batches, normalised and not augmented."""
        data = shared_data(self.data, self.resolution)
        # Of a small set they are halves: the same images twice would differ by rounding alone.
        size = min(self.batch_size, len(data.labels["train"]) // BATCHES)
        source = Batches(data, size, seed)
        augmentation = Augmentation(Recipe(), source.statistics())
        drawn = itertools.islice(source.train(0), BATCHES)
        return [(augmentation.normalise(images), labels) for images, labels in drawn]


def naswot(model: Network, batches: list[Batch]) -> float:
    """Log-determinant of how alike the images of a batch switch units (Mellor et al. 2021).

    A unit is on where its activation function's input is positive, whatever the function.
    """
    images, _ = batches[0]
    alike = torch.zeros(len(images), len(images), dtype=torch.float64)

    def note(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        on = (inputs[0].flatten(1) > 0).float()
        both = on @ on.T
        count = on.sum(1)
        # Units that are on in both, and those that are off in both.
        alike.add_(2 * both + on.shape[1] - count[:, None] - count[None, :])

    gates = [m for m in model.modules() if isinstance(m, _GATES)]
    handles = [gate.register_forward_pre_hook(note) for gate in gates]
    with torch.no_grad():
        model.train()(images)
    for handle in handles:
        handle.remove()
    return float(torch.linalg.slogdet(alike)[1])


_GATES = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.Hardswish, nn.Mish, nn.GELU)


def zico(model: Network, batches: list[Batch]) -> float:
    """How steady gradients are from batch to batch (Li et al. 2023, equation 14).

    The sum over layers of the logarithm of the sum of mean magnitude over deviation.
    """
    model.train()
    kept: list[list[Tensor]] = []
    for images, labels in batches:
        model.zero_grad()
        F.cross_entropy(model(images), labels).backward()  # type: ignore[no-untyped-call]
        kept.append([gradient.clone() for gradient in _gradients(model)])
    total = 0.0
    for gradients in zip(*kept, strict=True):
        stacked = torch.stack(gradients)
        deviation = stacked.std(0, correction=0)
        steady = stacked.abs().mean(0)[deviation > 0] / deviation[deviation > 0]
        if steady.numel():
            total += math.log(float(steady.sum()))
    return total


def synflow(model: Network, batches: list[Batch]) -> float:
    """Logarithm of the synaptic flow (Tanaka et al. 2020, equation 2).

    The flow is the sum of weight x gradient in a network of all weights' magnitudes that is fed
    with ones; batch normalisation is left out.
    """
    images, _ = batches[0]
    model.double().eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.abs_()
    ones = torch.ones(1, *images.shape[1:], dtype=torch.float64)
    with _without_norms(model):
        out = model(ones).sum()
        out.backward()
    pairs = [(w.detach(), w.grad) for w in model.parameters() if w.grad is not None]
    flow = sum(float((weight * gradient).sum()) for weight, gradient in pairs)
    return math.log(flow) if flow > 0 else -math.inf


@contextmanager
def _without_norms(model: nn.Module) -> Iterator[None]:
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]

    def passed(_: nn.Module, inputs: tuple[Tensor, ...], __: Tensor) -> Tensor:
        return inputs[0]

    handles = [norm.register_forward_hook(passed) for norm in norms]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def gradient_norm(model: Network, batches: list[Batch]) -> float:
    """Sum over layers of the norm of the loss's gradient (Abdelfattah et al. 2021)."""
    images, labels = batches[0]
    F.cross_entropy(model.train()(images), labels).backward()  # type: ignore[no-untyped-call]
    return sum(float(gradient.norm()) for gradient in _gradients(model))


def _gradients(model: nn.Module) -> Iterator[Tensor]:
    """Yield the gradients of the weights of convolutions and linear layers."""
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.weight.grad is not None:
            yield layer.weight.grad


SCORES: dict[str, Score] = {
    "naswot": naswot,
    "zico": zico,
    "synflow": synflow,
    "grad-norm": gradient_norm,
    "params": lambda model, _: float(count(model.spec).params),
    "madds": lambda model, _: float(count(model.spec).madds),
}
