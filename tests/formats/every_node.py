"""A small network with every node that layer trees have."""

from nas.ir import (
    Activation,
    BatchNorm,
    Cascade,
    ChannelShuffle,
    Concat,
    Conv,
    Dropout,
    Flatten,
    GlobalPool,
    LayerNorm,
    Linear,
    LocalResponseNorm,
    MixConv,
    Pad,
    Pool,
    Residual,
    Scale,
    Seq,
    Slices,
    SplitAttention,
    SqueezeExcite,
    Sum,
)

SHAPE = (3, 17, 16)
CLASSES = 5


def seq(*nodes):
    """Return nodes one after another, named by their numbers."""
    return Seq(tuple((str(i), node) for i, node in enumerate(nodes)))


def branches(kind, *nodes, **options):
    """Return nodes side by side, named by their numbers."""
    return kind(tuple((f"b{i}", node) for i, node in enumerate(nodes)), **options)


def gate(function, norm=None):
    """Return a squeeze-and-excitation with a gate of a function."""
    reduce, expand = Conv(8, 4, bias=True), Conv(4, 8, bias=True)
    return SqueezeExcite(reduce, expand, "leaky_relu", gate=function, norm=norm)


TREE = seq(
    Pad((1, 0, 0, 2)),
    Conv(3, 8, 3, 2, bias=True, padding=(0, 1, 2, 1)),
    LocalResponseNorm(5, 0.1, 0.75, 2.0),
    LocalResponseNorm(4, 0.1, 0.75, 2.0),
    branches(Sum, Seq(()), BatchNorm(8), Pool("max", 3, padding="same"), branch="b1"),
    branches(Concat, Seq(()), Pool("average", 3, count_padding=True), Conv(8, 8, groups=8)),
    ChannelShuffle(3),
    branches(Slices, Activation("leaky_relu"), Seq(()), gate("sigmoid"), sizes=(10, 6, 8)),
    MixConv((Conv(12, 4, 3), Conv(12, 12, 1))),
    SplitAttention(8, 2, Conv(8, 4, bias=True), BatchNorm(4), "relu", Conv(4, 16, bias=True)),
    branches(Cascade, Conv(2, 2, 3), Seq(()), Conv(2, 2, 3), Dropout(), sizes=(2, 2, 2, 2)),
    Residual((("norm", LayerNorm(8)), ("conv", Conv(8, 8)), ("scale", Scale(8)))),
    Pool("average", 3, 2, ceil=True),
    Pool("average", 2, 2, (1, 0, 0, 0), ceil=True, count_padding=True),
    branches(Sum, Pad(channels=3), Conv(8, 11)),
    Conv(11, 8),
    gate("hard_sigmoid", BatchNorm(4)),
    branches(Concat, GlobalPool(), Pool("max", 3, 1, (0, 0, 0, 0))),
    Dropout(0.3),
    Flatten(),
    Linear(16, CLASSES),
)
