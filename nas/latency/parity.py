"""Whether a runtime computes what it should: without that, its latency would mean nothing.

A small network with every kind of layer is run at two batch sizes, as trained and in a form with
every kind of layer that lowering makes, and all outputs are compared with those by definition.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np

import nas
from nas.errors import MixnasError, UnrunnableError
from nas.ir import (
    Activation,
    BatchNorm,
    Cascade,
    ChannelShuffle,
    Concat,
    Conv,
    Dropout,
    Flatten,
    Gate,
    GlobalPool,
    LayerNorm,
    Linear,
    LocalResponseNorm,
    MixConv,
    Node,
    Pad,
    Padding,
    Pool,
    Residual,
    Scale,
    Seq,
    Shape,
    Slices,
    SplitAttention,
    SqueezeExcite,
    Sum,
)
from nas.latency.evaluation import reference_outputs
from nas.latency.runtimes.base import Program, Runtime, noise
from nas.latency.weights import realistic_weights
from nas.lowering import AS_TRAINED, Preference, lower

TOLERANCE = 1e-4  # maximum difference, relative to the largest output
ACCELERATOR_TOLERANCE = 1e-2  # where float32 networks are computed with 11 bits (TF32, fp16)
INT8_TOLERANCE = 0.3  # sums of several int8 convolutions are rounded as often
BATCHES = (1, 5)
SHAPE: Shape = (3, 24, 22)
CLASSES = 10
_GAIN = 4  # of the first layer, so that activation functions reach their bounds


def difference(found: np.ndarray, expected: np.ndarray, largest: float | None = None) -> float:
    """Return the largest difference between outputs, relative to the largest output.

    Args:
        found: The outputs of a runtime or a file.
        expected: The right ones.
        largest: The largest right output, if these are not all of them.

    Returns:
        The difference; infinite if the shapes differ, and NaN if an output is NaN.
    """
    if found.shape != expected.shape:
        return float("inf")
    scale = max(float(np.abs(expected).max()) if largest is None else largest, 1e-9)
    return float(np.abs(found - expected).max()) / scale


def tolerance(precision: str, processor: str) -> float:
    """Return the difference that is allowed, relative to the largest output.

    Args:
        precision: Precision of the arithmetic.
        processor: Name of the processor: ``cpu``, or that of an accelerator.
    """
    if precision == "int8":
        return INT8_TOLERANCE
    return TOLERANCE if processor == "cpu" else ACCELERATOR_TOLERANCE


def check_outputs(runtime: Runtime, allowed: float = TOLERANCE) -> None:
    """Refuse a runtime whose outputs are not those of the networks that it is given.

    Args:
        runtime: The runtime. Only the form as trained is tried if networks load slowly.
        allowed: Maximum difference, relative to the largest output.

    Raises:
        MixnasError: If an output of any image differs, or if the network cannot be run.
    """
    tree = network()
    images, weights = noise(max(BATCHES), SHAPE), network_weights(tree)
    expected = reference_outputs(tree, weights, images)
    for rule in (AS_TRAINED, _EVERY_FORM) if runtime.tunable else (AS_TRAINED,):
        lowered, lowered_weights = lower(tree, SHAPE, weights, rule)
        program = Program(lowered, SHAPE, lowered_weights)
        for batch in BATCHES:
            try:
                found = difference(runtime.outputs(program, images[:batch]), expected[:batch])
            except UnrunnableError as error:
                raise _refusal(runtime, f"cannot run the network of its check ({error})") from error
            if not found <= allowed:
                raise _refusal(
                    runtime,
                    f"does not compute what networks define: outputs of batch {batch} differ by "
                    f"{found:.1e} of the largest (allowed: {allowed:.0e})",
                )


@lru_cache(maxsize=1)
def sources_digest() -> str:
    """Return a digest of what lowers networks, writes them for runtimes and runs them."""
    home = Path(nas.__file__).parent
    found = hashlib.sha256()
    for place in ("ir", "lowering", "formats", "latency/runtimes"):
        for path in sorted((home / place).rglob("*.py")):
            found.update(path.read_bytes())
    return found.hexdigest()


def _refusal(runtime: Runtime, what: str) -> MixnasError:
    return MixnasError(
        f"{runtime.name} ({runtime.version}) {what}. Its latencies would mean nothing: install "
        "another version (constraints.txt names those that were tested), or choose another device"
    )


class _EveryForm(Preference):
    """Chooses forms so that lowering makes every kind of layer: sums, padding, wide gates."""

    def wide_gate(self, se: SqueezeExcite, shape: Shape) -> bool:
        """See `FormChoice`."""
        return True


_EVERY_FORM = _EveryForm(("phases", "padded", "grouped", "dense"))


def network() -> Node:
    """Return the network: both rules of padding, every activation function and every node."""
    mix = _layers("mix", _depthwise((4, 4, 4, 4), (3, 5, 7, 9)), "relu6")
    mixed = Residual((*mix, ("gate", _gate("sigmoid"))))
    return Seq(
        (
            *_layers("stem", Conv(3, 16, 3, stride=2), "relu"),
            ("mixed", mixed),
            *_branches(),
            *_layers("same", _depthwise((6, 10), (3, 11), 2, "same"), "hard_swish"),
            *_layers("expand", _pointwise((8, 8), (12, 12)), "mish"),
            *_layers("wide", Conv(24, 24, 3, groups=6, padding="same"), "gelu"),
            *_layers("dilated", _depthwise((24,), (3,), dilation=2), "swish"),
            *_layers("project", _pointwise((8, 16), (4, 12)), "identity"),
            *_layers("symmetric", _depthwise((5, 5, 6), (5, 7, 1), 2), "leaky_relu"),
            ("average", Pool("average", 2, 2, (0, 0, 0, 0), ceil=True)),
            ("pool", GlobalPool()),
            ("flatten", Flatten()),
            ("classifier", Linear(16, CLASSES)),
        )
    )


def network_weights(tree: Node) -> dict[str, np.ndarray]:
    """Return weights of the network."""
    weights = realistic_weights(tree)
    return weights | {"stem_norm.weight": _GAIN * weights["stem_norm.weight"]}


def _layers(name: str, conv: Conv | MixConv, function: str) -> list[tuple[str, Node]]:
    convs = conv.convs if isinstance(conv, MixConv) else (conv,)
    norm = BatchNorm(sum(part.out_channels for part in convs))
    return [(name, conv), (f"{name}_norm", norm), (f"{name}_act", Activation(function))]


def _gate(function: Gate, norm: BatchNorm | None = None) -> SqueezeExcite:
    reduce, expand = Conv(16, 4, bias=True), Conv(4, 16, bias=True)
    return SqueezeExcite(reduce, expand, "swish", gate=function, norm=norm)


def _branches() -> list[tuple[str, Node]]:
    """Return layers from 16 channels to 16 with branches of every kind, and what else there is."""
    pools = (("max", Pool("max", 3)), ("mean", Pool("average", 3, padding="same")))
    slices = (("act", Activation("relu")), ("same", Seq(())), ("conv", Conv(9, 9, 3, groups=9)))
    attention = SplitAttention(
        8, 2, Conv(8, 4, bias=True), BatchNorm(4), "relu", Conv(4, 16, bias=True)
    )
    block = (("norm", LayerNorm(16)), ("conv", Conv(16, 16)), ("scale", Scale(16)))
    return [
        ("sum", Sum((("same", Seq(())), *pools))),
        ("response", LocalResponseNorm(5, alpha=0.5)),
        ("concat", Concat((("halved", Conv(16, 8)), ("counted", _counted_average())))),
        ("shuffle", ChannelShuffle(2)),
        ("slices", Slices(slices, (3, 4, 9))),
        ("cascade", Cascade((("same", Seq(())), ("conv", Conv(8, 8, 3))), (8, 8))),
        ("attention", attention),
        ("dropout", Dropout()),
        ("doubled", Sum((("zeros", Pad(channels=8)), ("conv", Conv(8, 16))))),
        ("doubled_act", Activation("relu")),
        ("block", Residual(block)),
        ("hard", _gate("hard_sigmoid", BatchNorm(4))),
    ]


def _counted_average() -> Node:
    return Seq((("pool", Pool("average", 3, count_padding=True)), ("conv", Conv(16, 8))))


def _depthwise(
    widths: tuple[int, ...],
    kernels: tuple[int, ...],
    stride: int = 1,
    padding: Padding = "symmetric",
    dilation: int = 1,
) -> MixConv:
    return MixConv(
        tuple(
            Conv(width, width, kernel, stride, width, dilation, padding=padding)
            for width, kernel in zip(widths, kernels, strict=True)
        )
    )


def _pointwise(inputs: tuple[int, ...], outputs: tuple[int, ...]) -> MixConv:
    return MixConv(tuple(map(Conv, inputs, outputs)))
