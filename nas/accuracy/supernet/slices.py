"""The slice of a trained supernet that a network is: its own weights, calibrated and evaluated."""

from __future__ import annotations

import copy
import hashlib
import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn

from nas.accuracy.base import EstimateError
from nas.accuracy.fidelity import Images, shown_at, widened
from nas.accuracy.sharing.bank import WeightBank
from nas.accuracy.sharing.skeletons import fresh_buffers, skeleton
from nas.data import Part
from nas.errors import MixnasError
from nas.spec import NetworkSpec
from nas.torch_model import Network, lower_module, read_weights
from nas.train.augment import Augmentation
from nas.train.batches import BatchSource
from nas.train.loop import Evaluation, evaluate
from nas.train.placement import Placement, open_placement
from nas.train.recipe import Recipe
from nas.train.settings import PlacementSettings

SUPERNET_FILE = "supernet.safetensors"
"""Name of the file in a run directory with the weights of its supernet."""
MOST_UNTRAINED = 0.02  # largest share of untrained weights of a network that is evaluated
EVALUATION_BATCH = 128  # images


def weights_digest(content: bytes) -> str:
    """Return what tells the weights of a supernet from others, by the content of their file."""
    return hashlib.sha256(content).hexdigest()[:16]


@dataclass(frozen=True)
class NetworkSlice:
    """A network with its slice of the shared weights, and the images that it is judged on.

    Attributes:
        network: The network; its batch normalization is calibrated.
        source: Source of the images.
        augmentation: How images are normalized.
        placement: Where the network is.
    """

    network: Network
    source: BatchSource
    augmentation: Augmentation
    placement: Placement

    @property
    def spec(self) -> NetworkSpec:
        """The network as it was trained: with its classes, at the side of the images."""
        return self.network.spec

    def evaluate(self, part: Part, hits: list[Tensor] | None = None) -> Evaluation:
        """Evaluate the network on a split of the data.

        On a CPU, it is evaluated in lowered form: the fewer passes over its feature maps take a
        quarter less time (`experiments/results/scoring.json`).

        Args:
            part: Split to evaluate on.
            hits: See `nas.train.loop.evaluate`.

        Raises:
            TrainingError: If the loss is not finite, or no image can be read.
        """
        network: nn.Module = self.network
        if self.placement.kind == "cpu":
            network = self.placement.place(lower_module(self.network))
        return evaluate(network, self.source, part, self.augmentation, self.placement, hits)

    def tensors(self) -> dict[str, Tensor]:
        """Return copies of the network's weights and statistics by name, in main memory."""
        return {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, tensor in self.network.state_dict().items()
        }


@dataclass(frozen=True)
class TrainedSupernet:
    """The file of a supernet's weights, and how a network of its space takes its slice of them.

    Attributes:
        path: File of the shared weights.
        shown: The images.
        width: Width multiplier.
        calibration: Number of training images that calibrate batch normalization.
        recipe: Recipe of the training, which says how images are normalized.
        seed: Random seed of weights that the supernet lacks.
        placement: Where to calibrate and evaluate, and how precisely.
    """

    path: Path
    shown: Images
    width: float
    calibration: int
    recipe: Recipe
    seed: int
    placement: PlacementSettings

    @torch.no_grad()
    def slice_of(self, spec: NetworkSpec, seed: int) -> NetworkSlice:
        """Return a network with its weights, calibrated on training images.

        The statistics of batch normalization are those of the network alone, since the ones of all
        networks together suit none of them (Yu and Huang 2019, section 3.3).

        Args:
            spec: The network.
            seed: Chooses the images that calibrate it.

        Raises:
            EstimateError: If the supernet has no room for it, or its windows do not fit the images.
            MixnasError: If the weights or the images cannot be read.
        """
        placement = open_placement(self.placement, self.shown.resolution)
        bank, spec = self._with_room(spec, placement.device)
        network = skeleton(spec, momentum=None)
        state = {**bank.weights(spec), **fresh_buffers(spec, placement.device)}
        network.load_state_dict(state, assign=True)
        # As in training: other formats take other kernels, whose compilation takes half a second.
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        batches = self.shown.batches(EVALUATION_BATCH, seed, placement)
        augmentation = Augmentation(self.recipe, batches.statistics(), placement.device)
        network.train()
        for images, _ in islice(batches.train(0), math.ceil(self.calibration / EVALUATION_BATCH)):
            (images,) = placement.to_device(images)
            with placement.autocast():
                network(augmentation.normalise(images))
        return NetworkSlice(network.eval(), batches, augmentation, placement)

    def has_room(self, spec: NetworkSpec) -> bool:
        """Return whether the supernet has the weights of a network, but for a few."""
        try:
            self._with_room(spec, "cpu")
        except EstimateError:
            return False
        return True

    def _with_room(self, spec: NetworkSpec, device: str) -> tuple[WeightBank, NetworkSpec]:
        """Return shared weights that suffice for a network, and the network as it was trained.

        Raises:
            EstimateError: If too many of its weights are not in the supernet.
        """
        bank = trained_bank(self.path, device)
        spec = shown_at(widened(spec, self.width), self.shown.resolution)
        untrained = bank.missing_share(spec)
        if untrained > MOST_UNTRAINED:
            raise EstimateError(
                "it is outside the space that the supernet was trained for: "
                f"{untrained:.0%} of its weights are not in the supernet"
            )
        if untrained:  # slightly larger than every network seen in training
            bank = copy.deepcopy(bank)  # the untrained weights must not affect other networks
            torch.manual_seed(self.seed)
            bank.add(spec)
            bank.to(device)
        return bank, spec


@lru_cache(maxsize=1)
def trained_bank(path: Path, device: str) -> WeightBank:
    """Return the weights of a file, which is read once.

    Raises:
        MixnasError: If the file is missing or damaged.
    """
    bank = WeightBank()
    try:
        tensors = read_weights(path)
    except MixnasError as error:
        raise MixnasError(
            f"the supernet cannot be read ({error}); remove the file, and repeat the command to "
            "train it again"
        ) from None
    for name, tensor in tensors.items():
        bank.tensors[name.removeprefix("tensors.")] = nn.Parameter(tensor)
    return bank.to(device)
