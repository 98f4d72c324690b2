"""Residual networks from their stem's output on, to compare their costs with published networks."""

from nas.blocks import Rules
from nas.cost.count import tally

WIDTHS = (256, 512, 1024, 2048)


def body(block, depths, widths=WIDTHS, stem=64, size=56, first_stride=1):
    """Return the costs of the stages of blocks that ``block(stage, channels, stride)`` makes."""
    blocks = [
        block(stage, channels, (first_stride if stage == 0 else 2) if i == 0 else 1)
        for stage, (depth, channels) in enumerate(zip(depths, widths, strict=True))
        for i in range(depth)
    ]
    return tally(blocks, Rules(), (stem, size, size))


def classifier(channels):
    """Return parameters and multiply-adds of the last layer for 1000 classes."""
    return channels * 1000 + 1000, channels * 1000


def whole(found, stem, channels=WIDTHS[-1]):
    """Return the parameters, multiply-adds and convolution outputs of a whole network.

    Args:
        found: Costs of its blocks.
        stem: The same three numbers of its stem.
        channels: Channels that the classifier sees.
    """
    params, madds = classifier(channels)
    return (
        found.params + stem[0] + params,
        found.madds + stem[1] + madds,
        found.activations + stem[2],
    )


STEM = (64 * 147 + 128, 64 * 147 * 112 * 112, 64 * 112 * 112)  # 7x7 at stride 2, BN
DEEP_STEM = (  # 3x3 convolutions of 32, 32 and 64 channels, BN
    27 * 32 + 288 * 32 + 288 * 64 + 2 * 128,
    (27 * 32 + 288 * 32 + 288 * 64) * 112 * 112,
    128 * 112 * 112,
)
