"""The parts of a network's stages: runs of blocks that a stage of a space can describe."""

from __future__ import annotations

import dataclasses

from nas.blocks import Block
from nas.space.around.steps import Fitted
from nas.spec import NetworkSpec

_MOST_BLOCKS = 64  # in a stage of a space


@dataclasses.dataclass
class Part:
    """Blocks that follow one another in a stage and differ in the first one at most.

    Attributes:
        stage: Position of the stage in the network.
        first: Position of the first block in the network.
        begins: Whether the part is the first one of its stage.
        places: The blocks, each with its input channels.
        depths: Numbers of blocks to choose from, ascending; one if it does not vary.
    """

    stage: int
    first: int
    begins: bool
    places: list[Fitted]
    depths: tuple[int, ...] = ()

    @property
    def repeated(self) -> Fitted:
        """The block that follows if there is one more."""
        block = self.places[-1].block
        return Fitted(block if block.stride == 1 else stride_one(block), block.channels)

    @property
    def all_places(self) -> list[Fitted]:
        """The blocks of the deepest network."""
        missing = max(self.depths) - len(self.places)
        return self.places + [self.repeated] * missing


def stride_one(block: Block) -> Block:
    """Return the block with stride 1."""
    return dataclasses.replace(block, stride=1)


def parts_of(spec: NetworkSpec) -> list[Part]:
    """Return the parts of all stages, in order.

    Blocks of a part have one family, width and configuration, but for the first block of a stage
    with others behind it, and there are at most as many as in a stage of a space. One part of every
    stage varies in depth, by one block: the longest, and of equally long ones the last. (If two
    did, some networks could be written in two ways.)
    """
    parts: list[Part] = []
    channels, position = spec.stem.channels, 0
    for i, stage in enumerate(spec.stages):
        here: list[Part] = []
        for block in stage:
            place = Fitted(block, channels)
            if here and _continues(here[-1], block):
                here[-1].places.append(place)
            else:
                here.append(Part(i, position, not here, [place]))
            channels, position = block.channels, position + 1
        _set_depths(here)
        parts += here
    return parts


def _continues(part: Part, block: Block) -> bool:
    """Return whether a block belongs to the same part as those before it."""
    last = part.places[-1].block
    if len(part.places) == _MOST_BLOCKS:
        return False
    if block.stride != 1 or (block.family, block.channels) != (last.family, last.channels):
        return False
    differs_from_first = part.begins and len(part.places) == 1
    return differs_from_first or block == stride_one(last)


def _set_depths(parts: list[Part]) -> None:
    """Let one part of a stage vary in depth, and keep the others' depth."""
    for part in parts:
        part.depths = (len(part.places),)
    free = [part for part in parts if part.places[0].block.repeatable]
    if not free:
        return
    part = max(reversed(free), key=lambda part: len(part.places))
    own = len(part.places)
    options = [own - 1, own]
    if part.repeated.changed() is not None:
        options.append(own + 1)
    part.depths = tuple(depth for depth in options if 1 <= depth <= _MOST_BLOCKS)
