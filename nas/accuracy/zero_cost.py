"""Zero-cost scores of untrained networks: they take seconds per network and are not accuracies.

``python -m nas.rank`` shows how well each of them ranks networks. The counts of parameters and
multiply-adds are among the scores as baselines: a score must beat them to be worth its cost.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F

from nas import defaults
from nas.accuracy.base import Estimate, EstimateError
from nas.accuracy.fidelity import Images, Resolution, shown_at
from nas.accuracy.memory import out_of_memory
from nas.cost import count
from nas.errors import MixnasError, unknown
from nas.progress import Step
from nas.spec import NetworkSpec
from nas.torch_model import Network, build
from nas.train.augment import Augmentation
from nas.train.batches import derive_seed
from nas.train.placement import Placement, open_placement, to_host
from nas.train.recipe import Recipe
from nas.train.settings import ON_THE_CPU, PlacementSettings

BATCHES = 2  # the smallest number that has a variance (Li et al. 2023, section 3.3)
Batch = tuple[Tensor, Tensor]
Score = Callable[[Network, list[Batch]], float]


class NotFiniteError(EstimateError):
    """A network that is below the scale of a score, such as one that images are all alike to."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class ZeroCost:
    """Scores networks with their initial weights, on two batches of the training split.

    Attributes:
        data: Name or path of the data set.
        score: One of `SCORES`.
        resolution: Height and width of the images, in pixels.
        batch_size: Number of images in a batch.
        max_score: None, since no score has an upper bound.
        placement: Where to compute scores; always in fp32.
        images_per_class: Number of images of each class to use, at most; None for all.
    """

    data: str = defaults.DATA
    score: str = "naswot"
    resolution: Resolution = 32
    batch_size: Annotated[int, Field(ge=2)] = 64
    max_score: None = None
    placement: PlacementSettings = ON_THE_CPU
    images_per_class: int | None = None

    def __post_init__(self) -> None:
        """Check the score.

        Raises:
            MixnasError: If there is no such score.
        """
        if self.score not in SCORES:
            raise MixnasError(unknown("zero-cost score", self.score, SCORES))

    @property
    def shown(self) -> Images:
        """The images that networks are shown."""
        return Images(self.data, self.resolution, self.images_per_class)

    @property
    def _exactly(self) -> PlacementSettings:
        """The placement in fp32: scores of networks differ by less than bf16 can tell."""
        return PlacementSettings(self.placement.on, "fp32")

    @property
    def label(self) -> str:
        """See `Estimator.label`."""
        return self.score

    @property
    def is_accuracy(self) -> bool:
        """See `is_accuracy_of`."""
        return False

    def fingerprint(self) -> dict[str, Any]:
        """See `Estimator.fingerprint`."""
        return {
            "estimator": f"zero-cost:{self.score}",
            "data_fingerprint": self.shown.source().fingerprint(),
            "resolution": self.resolution,
            "batch_size": self.batch_size,
            **self._exactly.facts(self.resolution),
        }

    def prepare(self, step: Step | None = None) -> list[str]:
        """See `PreparedEstimator`; decodes the images."""
        return self.shown.prepare(self.placement.kind, step)

    def estimate(self, spec: NetworkSpec, seed: int) -> Estimate:
        """See `Estimator.estimate`; the estimate has a score, but no accuracy.

        Raises:
            NotFiniteError: If the score is not a finite number.
            EstimateError: If it cannot be computed.
        """
        started = time.perf_counter()
        placement = open_placement(self._exactly, self.resolution)
        if placement.kind == "mps" and self.score in DOUBLE:
            raise EstimateError(f"{self.score} needs double precision, which mps lacks; use cpu")
        # A classifier that flattens its map depends on the size of the images.
        shown = spec if self.score in COUNTS else shown_at(spec, self.resolution)
        model = build(shown, seed)
        placement.place(model)
        torch.manual_seed(derive_seed(seed))
        try:
            value = SCORES[self.score](model, self._batches(seed, placement))
        except torch.OutOfMemoryError as error:
            raise EstimateError(out_of_memory(error)) from None
        if not math.isfinite(value):
            raise NotFiniteError(f"the {self.score} score is {value}")
        return Estimate(
            accuracy=None,
            loss=None,
            seconds=round(time.perf_counter() - started, 3),
            seed=seed,
            score=value,
        )

    def _batches(self, seed: int, placement: Placement) -> list[Batch]:
        """Return batches of normalized images, without augmentation."""
        # A small set is halved: two batches of the same images would differ by rounding alone.
        size = min(self.batch_size, self.shown.train_count() // BATCHES)
        source = self.shown.batches(size, seed, placement)
        augmentation = Augmentation(Recipe(), source.statistics(), placement.device)
        drawn = itertools.islice(source.train(0), BATCHES)
        placed = (placement.to_device(images, labels) for images, labels in drawn)
        return [(augmentation.normalise(images), labels) for images, labels in placed]


def naswot(model: Network, batches: list[Batch]) -> float:
    """Return NASWOT: how differently the images of a batch activate the units of a network.

    It is the log-determinant of a kernel matrix (B, B), whose entry for two images is the number of
    units that are on for both or off for both (Mellor et al. 2021, equation 2). A unit counts as on
    where the input of its activation function is positive, whichever function it is. Of equal
    images, which would make the matrix singular for every network, one counts.

    Args:
        model: The network; its batch normalization is in training mode.
        batches: Batches, of which the first is used: images (B, 3, H, W) and labels (B,).
    """
    images, _ = batches[0]
    shape = (len(images), len(images))
    agreement = torch.zeros(shape, dtype=torch.float64, device=images.device)

    def add_agreement(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        on = (inputs[0].flatten(1) > 0).float()
        both_on = on @ on.T
        number_on = on.sum(1)
        # Of n units, those off for both images are n - number_on - number_on' + both_on.
        agreement.add_(2 * both_on + on.shape[1] - number_on[:, None] - number_on[None, :])

    activations = [m for m in model.modules() if isinstance(m, _ACTIVATIONS)]
    handles = [module.register_forward_pre_hook(add_agreement) for module in activations]
    with torch.no_grad():
        model.train()(images)
    for handle in handles:
        handle.remove()
    repeated = _repeated(images)
    left_out = repeated[:, None] | repeated[None, :]  # rows and columns of the identity matrix
    agreement = torch.where(left_out, torch.eye(len(images)).to(agreement), agreement)
    return float(to_host(torch.linalg.slogdet(agreement)[1]))


def _repeated(images: Tensor) -> Tensor:
    """Return which images are equal to one before them, (B,)."""
    rows = images.flatten(1)
    equal = torch.stack([(rows == row).all(1) for row in rows])
    return equal.triu(1).any(0)


_ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.Hardswish, nn.Mish, nn.GELU, nn.LeakyReLU)


def zico(model: Network, batches: list[Batch]) -> float:
    """Return ZiCo: how consistent gradients are across batches (Li et al. 2023, equation 14).

    It is the sum over layers of log(sum over weights of mean |gradient| / standard deviation of
    |gradient|); weights whose gradient does not vary are left out.

    Args:
        model: The network.
        batches: Batches: images (B, 3, H, W) and labels (B,) each.
    """
    model.train()
    by_batch: list[list[Tensor]] = []
    for images, labels in batches:
        model.zero_grad()
        F.cross_entropy(model(images), labels).backward()  # type: ignore[no-untyped-call]
        by_batch.append(_on_host(_gradients(model)))
    total = 0.0
    for gradients in zip(*by_batch, strict=True):
        stacked = torch.stack(gradients)
        deviation = stacked.std(0, correction=0)
        ratios = stacked.abs().mean(0)[deviation > 0] / deviation[deviation > 0]
        if ratios.numel():
            total += math.log(float(ratios.sum()))
    return total


def synflow(model: Network, batches: list[Batch]) -> float:
    """Return the logarithm of the synaptic flow (Tanaka et al. 2020, equation 2).

    The flow is the sum of weight x gradient of a network whose weights are replaced by their
    magnitudes and whose input is all ones; normalizations are left out.

    Args:
        model: The network; its weights are overwritten.
        batches: Batches, of which only the image size is used.
    """
    images, _ = batches[0]
    model.double().eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.abs_()
    ones = torch.ones(1, *images.shape[1:], dtype=torch.float64, device=images.device)
    with _without_norms(model):
        out = model(ones).sum()
        out.backward()
    pairs = [(w.detach(), w.grad) for w in model.parameters() if w.grad is not None]
    sums = [(weight * gradient).sum() for weight, gradient in pairs]
    flow = sum(to_host(torch.stack(sums)).tolist())
    return math.log(flow) if flow > 0 else -math.inf


_NORMS = (nn.BatchNorm2d, nn.LayerNorm, nn.LocalResponseNorm)


@contextmanager
def _without_norms(model: nn.Module) -> Iterator[None]:
    """Let every normalization return its input."""
    norms = [m for m in model.modules() if isinstance(m, _NORMS)]

    def identity(_: nn.Module, inputs: tuple[Tensor, ...], __: Tensor) -> Tensor:
        return inputs[0]

    handles = [norm.register_forward_hook(identity) for norm in norms]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def gradient_norm(model: Network, batches: list[Batch]) -> float:
    """Return the sum over layers of the norm of the gradient (Abdelfattah et al. 2021).

    Args:
        model: The network.
        batches: Batches, of which the first is used: images (B, 3, H, W) and labels (B,).
    """
    images, labels = batches[0]
    F.cross_entropy(model.train()(images), labels).backward()  # type: ignore[no-untyped-call]
    norms = [gradient.norm() for gradient in _gradients(model)]
    total: float = sum(to_host(torch.stack(norms)).tolist())
    return total


def _on_host(tensors: Iterable[Tensor]) -> list[Tensor]:
    """Copy tensors to main memory, all at once."""
    tensors = list(tensors)
    numbers = to_host(torch.cat([tensor.flatten() for tensor in tensors]))
    sizes = [tensor.numel() for tensor in tensors]
    pieces = zip(torch.split(numbers, sizes), tensors, strict=True)
    return [piece.view(tensor.shape) for piece, tensor in pieces]


def _gradients(model: nn.Module) -> Iterator[Tensor]:
    """Yield the gradient of the weights of every convolution and linear layer."""
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
COUNTS = ("params", "madds")
"""Scores that show the network no images; they are those of its own resolution."""
DOUBLE = ("naswot", "synflow")
"""Scores that need numbers in double precision."""
