"""Finding the forms of layers that are fastest on a device, by measurement.

A sample of layers that covers those of typical networks is run in every form. Each layer is part of
a small network because the cost of a form depends partly on the layers around it. A layer of a
searched network then takes the form of the most similar measured layer (`nas.latency.profile`).

The layers run without pauses, whatever the interval of the measurements is: thousands of runs with
a pause of 200 ms before each would take an hour.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

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
from nas.latency.layer_sample import sampled_layers
from nas.latency.profile import CURVE_CHANNELS, CURVE_SIZE, Finding, LayerSignature
from nas.latency.protocol import lower_quartiles, medians_in_turns, refined
from nas.latency.runtimes.base import Program, Runtime, TimedRun
from nas.latency.runtimes.models import NARROW_GATES
from nas.latency.weights import realistic_weights
from nas.lowering import MERGE_ALL, Form, candidates, lower, trained_form
from nas.machine import MachineLoad

_logger = logging.getLogger(__name__)

# The share of the time that a form must save to be chosen instead of another one. The gain of
# sliced forms depends on the number of channels in each slice, so a gain carries over to similar
# layers only if it is large.
WORTH = {
    "halves": 0.2,
    "neighbors": 0.2,
    "split": 0.2,
    "grouped": 0.1,
    "halves phases": 0.1,
    "split phases": 0.1,
}
WORTH_ELSE = 0.04
ATTEMPTS = 3  # maximum number of attempts to measure a layer on an undisturbed machine
ROUNDS = (5, 13)  # fewest and most turns of each form
RUNS = 6
SETTLE = 2
SECONDS = 0.4  # of each form, unless it needs more for the fewest turns
SCREENED = 1.5  # a form that takes this many times as long as the fastest is not timed further
AROUND = 16  # channels before and after the layer
CURVE_KERNELS = (3, 5, 7, 9, 11)
CURVE_LAYERS = 4
CLIFF = 3.0  # ratio of the time of a tap to that of smaller kernels that counts as a jump


@dataclass(frozen=True)
class _Fixed:
    """Chooses the same form for every layer."""

    chosen: Form | None
    wide: bool = False

    def form(self, mix: MixConv, shape: Shape) -> Form:
        return self.chosen or MERGE_ALL.form(mix, shape)

    def wide_gate(self, se: SqueezeExcite, shape: Shape) -> bool:
        return self.wide


def _choices(node: MixConv | SqueezeExcite) -> dict[str, _Fixed]:
    if isinstance(node, SqueezeExcite):
        return {"plain": _Fixed(None), "wide": _Fixed(None, wide=True)}
    return {name: _Fixed(form) for name, form in candidates(node).items()}


def _program(node: MixConv | SqueezeExcite, shape: Shape, choice: _Fixed) -> Program:
    """Return a small network around a layer, so that its effect on neighboring layers counts."""
    inputs = shape[0]
    outputs = conv_channels(node)[1] if isinstance(node, MixConv) else inputs
    middle: Node = node
    if outputs != inputs:  # the layer is the expansion or the projection of a residual block
        other = Conv(outputs, inputs, bias=True)
        first, last = (node, other) if outputs > inputs else (other, node)
        middle = Residual((("first", first), ("act", Activation("swish")), ("last", last)))
    return _between((("middle", middle),), (min(inputs, outputs), *shape[1:]), choice)


def _between(middle: tuple[tuple[str, Node], ...], shape: Shape, choice: _Fixed) -> Program:
    """Return a network with some layers between two 1x1 convolutions.

    Args:
        middle: The layers with their names; their input and output have the same channels.
        shape: Shape of their input.
        choice: Rule that chooses their forms.
    """
    before, after = Conv(AROUND, shape[0], bias=True), Conv(shape[0], AROUND, bias=True)
    tree = Seq((("before", before), *middle, ("after", after)))
    around = (AROUND, *shape[1:])
    lowered, weights = lower(tree, around, realistic_weights(tree), choice)
    return Program(lowered, around, weights)


def tune(runtime: Runtime, step: Callable[[int, int], None] | None = None) -> list[Finding]:
    """Measure the sample layers in all their forms.

    Layers that were disturbed are measured again, since forms that use one core look better than
    they are while other processes run. A machine that disturbed all of them twice is busy for
    good, so that there is no third attempt.

    Args:
        runtime: Runtime of the device.
        step: Called with the number of layers measured and the number to measure in this attempt.

    Returns:
        The findings, one per layer, each of the attempt that was disturbed least.
    """
    sample = [
        (node, shape)
        for node, shape in sampled_layers()
        if not (isinstance(node, SqueezeExcite) and runtime.model_format in NARROW_GATES)
    ]
    quietest: dict[int, tuple[list[str], Finding]] = {}
    left = list(range(len(sample)))
    for attempt in range(1, ATTEMPTS + 1):
        disturbed = []
        for done, index in enumerate(left):
            if step is not None:
                step(done, len(left))
            remarks, finding = _measure_layer(runtime, *sample[index])
            if index not in quietest or len(remarks) < len(quietest[index][0]):
                quietest[index] = remarks, finding
            if quietest[index][0]:
                disturbed.append(index)
        hopeless = attempt > 1 and len(disturbed) == len(sample)
        last = attempt == ATTEMPTS or hopeless
        _tell_disturbed([quietest[index][0] for index in disturbed], len(sample), attempt, last)
        if step is not None:
            step(len(left), len(left))
        left = disturbed
        if last or not disturbed:
            break
    return [quietest[index][1] for index in range(len(sample))]


def _measure_layer(
    runtime: Runtime, node: MixConv | SqueezeExcite, shape: Shape
) -> tuple[list[str], Finding]:
    """Measure a layer in all its forms; also return what may have disturbed that."""
    machine_load = MachineLoad()
    runs = {
        name: runtime.load(_program(node, shape, choice)) for name, choice in _choices(node).items()
    }
    trained = _trained(node)
    times = _relative_times(runs, trained)
    finding = Finding(LayerSignature.of(node, shape), _best(times, trained), times)
    return machine_load.remarks(), finding


def _tell_disturbed(remarks: Sequence[list[str]], layers: int, attempt: int, last: bool) -> None:
    """Tell of the layers that were disturbed, if any, and what is done about it."""
    if not remarks:
        return
    longest = max(len(each) for each in remarks)
    example = "; ".join(next(each for each in remarks if len(each) == longest))
    after = f"they are measured again, attempt {attempt + 1} of at most {ATTEMPTS}"
    if last:
        after = f"of {attempt} attempts, the least disturbed one of each counts"
    _logger.warning(
        "note: the examination of the device was disturbed at %d of %d layers (such as: %s); %s",
        len(remarks), layers, example, after,
    )  # fmt: skip


def _best(times: Mapping[str, float], trained: str) -> str:
    """Return the fastest form among those that save enough time, or the trained one."""
    best = trained
    for name, time in times.items():
        if time < (1 - WORTH.get(name, WORTH_ELSE)) * times[best]:
            best = name
    return best


def _trained(node: MixConv | SqueezeExcite) -> str:
    """Return the name of the form that a layer has as trained."""
    return "plain" if isinstance(node, SqueezeExcite) else trained_form(node)


def _relative_times(runs: Mapping[str, TimedRun], trained: str) -> dict[str, float]:
    """Return the times of several forms in units of the time as trained.

    Forms that are far slower than the fastest are timed only roughly.
    """
    times = lower_quartiles(runs, rounds=2, count=2, settle=1)
    fastest = min(times.values())
    close = {name: run for name, run in runs.items() if times[name] < SCREENED * fastest}
    times = refined(times, close, SECONDS, ROUNDS, RUNS, SETTLE)
    return {name: round(time / times[trained], 4) for name, time in times.items()}


# -- the time of a depthwise convolution by kernel size ---------------------------------------


def depthwise_curve(runtime: Runtime) -> dict[int, float]:
    """Return the time of a depthwise convolution by kernel size, in milliseconds.

    It is what a layer adds to the time of a network of several such layers, and no less than what
    turns of the network without them differ by: less could not be told from nothing.
    """
    shape = (CURVE_CHANNELS, CURVE_SIZE, CURVE_SIZE)
    runs = {"none": runtime.load(_between((), shape, _Fixed(None)))}
    for kernel in CURVE_KERNELS:
        conv = Conv(CURVE_CHANNELS, CURVE_CHANNELS, kernel, groups=CURVE_CHANNELS, bias=True)
        layers = tuple((f"depthwise{i}", conv) for i in range(CURVE_LAYERS))
        runs[str(kernel)] = runtime.load(_between(layers, shape, _Fixed(Form((1,)))))
    medians = medians_in_turns(runs, ROUNDS[1], RUNS, SETTLE)
    times = {name: float(np.percentile(values, 25)) for name, values in medians.items()}
    noise = float(np.median(medians["none"])) - times["none"]
    added = {k: times[str(k)] - times["none"] for k in CURVE_KERNELS}
    return {kernel: round(max(ms, noise) / CURVE_LAYERS, 5) for kernel, ms in added.items()}


def cliff(depthwise_ms: Mapping[int, float]) -> int | None:
    """Return the first kernel size at which the time of a tap jumps, or None.

    Args:
        depthwise_ms: Time of a depthwise convolution by kernel size, as `depthwise_curve` returns.
    """
    # Noise can hide a layer of small kernels altogether; nothing can be said of such a one.
    per_tap = {kernel: ms / kernel**2 for kernel, ms in depthwise_ms.items() if ms > 0}
    lowest = math.inf
    for kernel in sorted(per_tap):
        if per_tap[kernel] > CLIFF * lowest:
            return kernel
        lowest = min(lowest, per_tap[kernel])
    return None
