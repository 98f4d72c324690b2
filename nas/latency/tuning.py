"""Finding a device's fastest forms of layers, by measurement.

A few layers that span what networks have are run in every form, each inside a network of a few
layers, since what a form costs lies partly in how it meets its neighbours. Layers of a network
then take the form of the most similar measured one (`nas.latency.profile`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from nas.ir import (
    Activation,
    Conv,
    MixConv,
    Node,
    Residual,
    Seq,
    Shape,
    SqueezeExcite,
    conv_channels,
)
from nas.latency.profile import Finding, LayerSignature
from nas.latency.protocol import medians_in_turns
from nas.latency.runtimes.base import Program, Runtime, TimedRun
from nas.latency.weights import realistic_weights
from nas.lowering import MERGE_ALL, Form, candidates, lower, usual_form
from nas.machine import MachineLoad

# The share of time that another form than the usual one must save. What one layer gains by slices
# depends on how many channels each holds, so they must gain much to be taken for its likes.
WORTH = {"halves": 0.2, "split": 0.2, "grouped": 0.1}
WORTH_ELSE = 0.04
ATTEMPTS = 3  # until nothing disturbs the machine meanwhile
ROUNDS = 13
RUNS = 6
SETTLE = 2
AROUND = 16  # channels before and after the layer

# Channels by the height of their maps, as in networks for 224 pixels.
_CHANNELS = {112: 64, 56: 144, 28: 240, 14: 480, 7: 960}
_LADDERS: tuple[tuple[int, ...], ...] = ((3, 5), (3, 5, 7), (3, 5, 7, 9), (3, 5, 7, 9, 11))
_ALIKE: tuple[tuple[int, ...], ...] = ((3,), (5,), (7,), (9,))
# (input channels, output channels, height): slices of whole blocks of 16 channels, and others.
_POINTWISE = (
    (32, 96, 56),
    (96, 32, 56),
    (24, 144, 56),
    (144, 24, 56),
    (64, 384, 14),
    (384, 64, 14),
    (80, 480, 14),
    (360, 120, 14),
    (192, 1152, 7),
    (1200, 200, 7),
)


def layers() -> Iterator[tuple[MixConv | SqueezeExcite, Shape]]:
    """Yield the layers that are measured, with their inputs' shapes."""
    for size, channels in _CHANNELS.items():
        shape = (channels, size, size)
        for stride in (1, 2):
            if (size == 112 and stride == 1) or (size == 7 and stride == 2):
                continue  # networks have none of these
            for kernels in _LADDERS:
                yield _depthwise(channels, kernels, stride), shape
        if size < 56:
            for kernels in _ALIKE:
                yield _depthwise(channels, kernels, 1), shape
            reduced = Conv(channels, channels // 12, bias=True)
            yield SqueezeExcite(reduced, Conv(channels // 12, channels, bias=True), "relu"), shape
    for inputs, outputs, size in _POINTWISE:
        convs = (Conv(inputs // 2, outputs // 2),) * 2
        yield MixConv(convs), (inputs, size, size)


def _depthwise(channels: int, kernels: tuple[int, ...], stride: int) -> MixConv:
    width = channels // len(kernels)
    widths = [channels - width * (len(kernels) - 1), *[width] * (len(kernels) - 1)]
    return MixConv(
        tuple(Conv(w, w, k, stride, groups=w) for w, k in zip(widths, kernels, strict=True))
    )


class _Fixed:
    """Chooses one form for everything."""

    def __init__(self, form: Form | None, wide: bool) -> None:
        self._form, self._wide = form, wide

    def form(self, mix: MixConv, shape: Shape) -> Form:
        return self._form or MERGE_ALL.form(mix, shape)

    def wide_gate(self, se: SqueezeExcite, shape: Shape) -> bool:
        return self._wide


def _choices(node: MixConv | SqueezeExcite) -> dict[str, _Fixed]:
    if isinstance(node, SqueezeExcite):
        return {"plain": _Fixed(None, False), "wide": _Fixed(None, True)}
    return {name: _Fixed(form, False) for name, form in candidates(node).items()}


def _program(node: MixConv | SqueezeExcite, shape: Shape, choice: _Fixed) -> Program:
    """Return a small network around a layer, so that what it costs its neighbours counts."""
    inputs, height, width = shape
    outputs = conv_channels(node)[1] if isinstance(node, MixConv) else inputs
    middle: Node = node
    if outputs != inputs:  # a block with a skip, whose expansion or projection it is
        other = Conv(outputs, inputs, bias=True)
        first, last = (node, other) if outputs > inputs else (other, node)
        middle = Residual((("first", first), ("act", Activation("swish")), ("last", last)))
    narrow = min(inputs, outputs)
    tree = Seq(
        (
            ("before", Conv(AROUND, narrow, bias=True)),
            ("middle", middle),
            ("after", Conv(narrow, AROUND, bias=True)),
        )
    )
    around = (AROUND, height, width)
    lowered, weights = lower(tree, around, realistic_weights(tree), choice)
    return Program(lowered, around, weights)


def tune(runtime: Runtime, step: Callable[[int, int], None] | None = None) -> list[Finding]:
    """Measure the layers in all their forms, again if the machine was disturbed meanwhile.

    With other processes at work, forms that use one core look better than they are.

    Args:
        runtime: of the device.
        step: called with the number of layers done and of all.
    """
    least: tuple[int, list[Finding]] | None = None
    for _ in range(ATTEMPTS):
        watch = MachineLoad()
        findings = _measure_layers(runtime, step)
        remarks = len(watch.remarks())
        if least is None or remarks < least[0]:
            least = (remarks, findings)
        if remarks == 0:
            break
    assert least is not None
    return least[1]


def _measure_layers(
    runtime: Runtime, step: Callable[[int, int], None] | None = None
) -> list[Finding]:
    sample = list(layers())
    findings = []
    for done, (node, shape) in enumerate(sample):
        if step is not None:
            step(done, len(sample))
        runs = {
            name: runtime.load(_program(node, shape, choice))
            for name, choice in _choices(node).items()
        }
        usual = _usual(node)
        times = _relative_times(runs, usual)
        findings.append(Finding(LayerSignature.of(node, shape), _chosen(times, usual), times))
    if step is not None:
        step(len(sample), len(sample))
    return findings


def _chosen(times: dict[str, float], usual: str) -> str:
    """Return the fastest form of those that save enough; the usual one when none does."""
    enough = [name for name, time in times.items() if time < 1 - WORTH.get(name, WORTH_ELSE)]
    return min(enough, key=lambda name: times[name], default=usual)


def _usual(node: MixConv | SqueezeExcite) -> str:
    """Name the form that is taken without measurement."""
    return "plain" if isinstance(node, SqueezeExcite) else usual_form(node)


def _relative_times(runs: dict[str, TimedRun], usual: str) -> dict[str, float]:
    """Return the times of several forms in units of the usual one's."""
    medians = medians_in_turns(runs, ROUNDS, RUNS, SETTLE)
    # Low quartiles: what disturbs a round makes it slower, never faster.
    quick = {name: float(np.percentile(values, 25)) for name, values in medians.items()}
    return {name: round(time / quick[usual], 4) for name, time in quick.items()}
