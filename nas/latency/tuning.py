"""Finding the forms of layers that are fastest on a device, by measurement.

A sample of layers that covers those of typical networks is run in every form. Each layer is part of
a small network because the cost of a form depends partly on the layers around it. A layer of a
searched network then takes the form of the most similar measured layer (`nas.latency.profile`).

The layers run without pauses, whatever the interval of the measurements is: thousands of runs with
a pause of 200 ms before each would take an hour.
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
from nas.lowering import MERGE_ALL, Form, candidates, default_form, lower
from nas.machine import MachineLoad

# The share of the default form's time that another form must save to be chosen. The gain of sliced
# forms depends on the number of channels in each slice, so a gain carries over to similar layers
# only if it is large.
WORTH = {"halves": 0.2, "split": 0.2, "grouped": 0.1}
WORTH_ELSE = 0.04
ATTEMPTS = 3  # maximum number of attempts to measure on an undisturbed machine
ROUNDS = 13
RUNS = 6
SETTLE = 2
AROUND = 16  # channels before and after the layer

# Channels by height of the feature map, as in networks for 224-pixel images.
_CHANNELS = {112: 64, 56: 144, 28: 240, 14: 480, 7: 960}
_LADDERS: tuple[tuple[int, ...], ...] = ((3, 5), (3, 5, 7), (3, 5, 7, 9), (3, 5, 7, 9, 11))
_ALIKE: tuple[tuple[int, ...], ...] = ((3,), (5,), (7,), (9,))
# (input channels, output channels, height); some slices fill whole blocks of 16 channels.
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
    """Yield the layers to measure, each with the (C, H, W) shape of its input."""
    for size, channels in _CHANNELS.items():
        shape = (channels, size, size)
        for stride in (1, 2):
            if (size == 112 and stride == 1) or (size == 7 and stride == 2):
                continue  # typical networks have no such layers
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
    """Chooses the same form for every layer."""

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
    """Return a small network around a layer, so that its effect on neighboring layers counts."""
    inputs, height, width = shape
    outputs = conv_channels(node)[1] if isinstance(node, MixConv) else inputs
    middle: Node = node
    if outputs != inputs:  # the layer is the expansion or the projection of a residual block
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
    """Measure the sample layers in all their forms.

    The measurement is repeated if the machine was disturbed: while other processes run, forms that
    use one core look better than they are.

    Args:
        runtime: Runtime of the device.
        step: Called with the number of layers measured and their total number.

    Returns:
        The findings of the attempt that was disturbed least, one per layer.
    """
    quietest: tuple[int, list[Finding]] | None = None
    for _ in range(ATTEMPTS):
        machine_load = MachineLoad()
        findings = _measure_layers(runtime, step)
        disturbances = len(machine_load.remarks())
        if quietest is None or disturbances < quietest[0]:
            quietest = (disturbances, findings)
        if disturbances == 0:
            break
    assert quietest is not None
    return quietest[1]


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
        default = _default(node)
        times = _relative_times(runs, default)
        findings.append(Finding(LayerSignature.of(node, shape), _best(times, default), times))
    if step is not None:
        step(len(sample), len(sample))
    return findings


def _best(times: dict[str, float], default: str) -> str:
    """Return the fastest form among those that save enough time, or the default form."""
    worthwhile = [name for name, time in times.items() if time < 1 - WORTH.get(name, WORTH_ELSE)]
    return min(worthwhile, key=lambda name: times[name], default=default)


def _default(node: MixConv | SqueezeExcite) -> str:
    """Return the name of the form that is used without measurement."""
    return "plain" if isinstance(node, SqueezeExcite) else default_form(node)


def _relative_times(runs: dict[str, TimedRun], default: str) -> dict[str, float]:
    """Return the times of several forms in units of the default form's time."""
    medians = medians_in_turns(runs, ROUNDS, RUNS, SETTLE)
    # The lower quartile, because a disturbance makes a round slower, never faster.
    quartiles = {name: float(np.percentile(values, 25)) for name, values in medians.items()}
    return {name: round(time / quartiles[default], 4) for name, time in quartiles.items()}
