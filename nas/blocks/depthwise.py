"""The base class of the families built around a (mixed) depthwise convolution."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Mapping
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

from pydantic.dataclasses import dataclass

from nas.blocks.base import CONFIG, Block
from nas.blocks.fields import (
    ActivationName,
    Groups,
    GroupWidth,
    Kernels,
    SERatio,
    Skip,
    Split,
    later,
)
from nas.blocks.parts import (
    Rules,
    depthwise,
    make_divisible,
    split_channels,
    squeeze_excite,
)
from nas.blocks.ratios import floored_product, share
from nas.ir import Gate, Node


@dataclass(frozen=True, config=CONFIG)
class DepthwiseBlock(Block):
    """A block with a mixed depthwise convolution in the middle; not a family itself.

    Attributes:
        kernels: Kernel size of every kernel group, 1 to 5 groups.
        split: How channels are split among the kernel groups, ``equal`` or ``exponential``.
        dilated: Whether dilated 3x3 kernels replace larger ones at stride 1.
        group_width: Channels per convolution group in the middle; 1 makes it depthwise.
        project_groups: Number of groups of the 1x1 projection.
        se_ratio: Squeezed channels of SE as a fraction of the channels that `se_base` names; 0 for
            no SE.
        activation: Activation function after the convolutions and, unless `se_activation` names
            another, inside SE.
        skip: Whether the input, or its ``pool``, is added to the output where the shapes allow it.
        se_base: Channels that `se_ratio` refers to: the block's ``input`` (MnasNet, MixNet,
            EfficientNet), or its ``middle``, where SE stands; squeezed channels are then rounded to
            a multiple of 8 (Howard et al. 2019, MobileNetV3, section 5.3), or with
            ``exact_middle`` down to a whole number (SCARLET-NAS's published code).
        se_activation: Activation function inside SE; None for the block's.
        gate: Function of SE's gate, ``sigmoid`` or ``hard_sigmoid`` (MobileNetV3).
    """

    kernels: Kernels = (3,)
    split: Split = "equal"
    dilated: bool = False
    group_width: GroupWidth = 1
    project_groups: Groups = 1
    se_ratio: SERatio = 0
    activation: ActivationName = "relu"
    skip: Skip = True
    se_base: Annotated[Literal["input", "middle", "exact_middle"], later("input")] = "input"
    se_activation: Annotated[ActivationName | None, later(None)] = None
    gate: Annotated[Gate, later("sigmoid")] = "sigmoid"
    context: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **Block.context,
        "split": ("kernels", "group_width", "in_channels"),
        "dilated": ("kernels", "stride"),
        "project_groups": ("channels", "group_width", "in_channels"),
        "se_ratio": ("se_base", "group_width", "in_channels"),
        "se_base": ("se_ratio", "group_width", "in_channels"),
        "se_activation": ("se_ratio", "activation"),
        "gate": ("se_ratio",),
    }

    coupled: ClassVar[tuple[tuple[str, str], ...]] = (("se_ratio", "se_base"),)

    @abstractmethod
    def middle_channels(self, in_channels: int) -> int:
        """Return the number of channels of the depthwise convolution.

        Raises:
            ValueError: If `group_width` does not divide it.
        """

    def canonical_value(self, name: str, in_channels: int) -> Any:
        """See `Block.canonical_value`."""
        if name == "split":
            groups = self.middle_channels(in_channels) // self.group_width
            sizes = split_channels(groups, len(self.kernels), self.split)
            return "equal" if sizes == split_channels(groups, len(self.kernels)) else self.split
        if name == "dilated":  # kernels of up to 3x3 stay as they are, and so does stride 2
            return self.dilated and self.stride == 1 and max(self.kernels) > 3
        if name == "project_groups":
            split_channels(self.middle_channels(in_channels), self.project_groups)
            split_channels(self.channels, self.project_groups)
        if name in ("se_ratio", "se_base", "se_activation", "gate"):
            return self._canonical_se(name, in_channels)
        return super().canonical_value(name, in_channels)

    def effect(self, name: str, in_channels: int) -> Hashable:
        """See `Block.effect`."""
        if name in ("se_ratio", "se_base"):
            return self._reduced(in_channels) if self.se_ratio else 0
        return super().effect(name, in_channels)

    def _canonical_se(self, name: str, in_channels: int) -> Any:
        """Return the canonical value of a field that only SE knows."""
        if not self.se_ratio:
            return getattr(type(self), name)
        if name == "gate":
            return self.gate
        if name == "se_activation":
            return None if self.se_activation == self.activation else self.se_activation
        reduced = self._reduced(in_channels)
        if reduced <= in_channels:  # some ratio to the input leads to as many channels
            least = share(in_channels, reduced, partial(floored_product, in_channels))
            return least if name == "se_ratio" else "input"
        mid = self.middle_channels(in_channels)
        if make_divisible(reduced) != reduced:
            least = share(mid, reduced, partial(floored_product, mid))
            return least if name == "se_ratio" else "exact_middle"
        least = share(mid, reduced, lambda ratio: make_divisible(mid * ratio), margin=16)
        return least if name == "se_ratio" else "middle"

    def _reduced(self, in_channels: int) -> int:
        """Return the number of channels that SE squeezes to."""
        if self.se_base == "middle":
            return make_divisible(self.middle_channels(in_channels) * self.se_ratio)
        base = in_channels if self.se_base == "input" else self.middle_channels(in_channels)
        return floored_product(base, self.se_ratio)

    def _middle(self, mid: int, in_channels: int, rules: Rules) -> list[tuple[str, Node]]:
        """Return the depthwise convolution and the SE, if any, on `mid` channels."""
        mixed = depthwise(
            mid,
            kernels=self.kernels,
            stride=self.stride,
            split=self.split,
            dilated=self.dilated,
            group_width=self.group_width,
            activation=self.activation,
            rules=rules,
        )
        if not self.se_ratio:
            return [("depthwise", mixed)]
        squeeze = squeeze_excite(
            mid, self._reduced(in_channels), self.se_activation or self.activation, self.gate
        )
        return [("depthwise", mixed), ("se", squeeze)]
