"""What int8 arithmetic costs and gains: accuracy, outputs, latency and size, before and after."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nas.errors import MixnasError
from nas.export.base import Export, Written
from nas.export.device import ExportDevice
from nas.export.int8.request import Int8Request
from nas.export.parity import Parity, Run
from nas.export.registry import find_format
from nas.ir import Activation, SqueezeExcite, walk
from nas.latency import Latency, LocalDevice, measure_quietly
from nas.latency.quiet import quietest
from nas.latency.runtimes import TimedRun
from nas.spec import NetworkSpec

Load = Callable[[Any], TimedRun]
"""Makes a network ready to run in a given runtime (`nas.latency.runtimes.Runtime`)."""
CRITICAL_VALUE = 1.96  # of the normal distribution, for 95%


@dataclass(frozen=True)
class Contender:
    """A network with one precision.

    Attributes:
        run: Runs it.
        size: Size of its files, in bytes.
        load: Makes it ready to be timed.
    """

    run: Run
    size: int
    load: Load


def loading(model: bytes) -> Load:
    """Return what makes a serialized model ready to be timed."""
    return lambda runtime: runtime.load_model(model)


@dataclass(frozen=True)
class AccuracyChange:
    """Top-1 accuracies on the same images.

    Attributes:
        images: Number of images.
        before: Accuracy with fp32, 0..1.
        after: Accuracy with int8, 0..1.
        error: Half-width of the 95% confidence interval of the difference. The images are paired:
            only those count that one precision gets right and the other wrong.
        same_class: Share of the images that both give the same class, 0..1.
    """

    images: int
    before: float
    after: float
    error: float
    same_class: float

    @property
    def loss(self) -> float:
        """Accuracy lost, in percentage points."""
        return round(100 * (self.before - self.after), 9)  # without errors of the arithmetic


def compare_accuracy(before: Run, after: Run, request: Int8Request) -> AccuracyChange | None:
    """Run a network with both precisions on the validation images; None if there are none."""
    validation = request.validation
    if validation is None:
        return None
    hits: list[np.ndarray] = []
    same = images = 0
    for inputs, labels in validation.batches():
        classes = [run(inputs).argmax(1) for run in (before, after)]
        hits.append(np.stack([found == labels for found in classes]))
        same += int((classes[0] == classes[1]).sum())
        images += len(labels)
        if request.step is not None:
            request.step(images, len(validation))
    if not images:
        raise MixnasError(f"{validation.data.name}: none of its validation images can be read")
    right = np.concatenate(hits, axis=1).astype(float)
    difference = right[1] - right[0]
    return AccuracyChange(
        images=images,
        before=float(right[0].mean()),
        after=float(right[1].mean()),
        error=float(CRITICAL_VALUE * difference.std() / np.sqrt(images)),
        same_class=same / images,
    )


def judged(export: Export, before: Contender, after: Contender, file_format: str) -> Written:
    """Judge a quantized network that has been written.

    Args:
        export: The network.
        before: The network with fp32, in the same runtime.
        after: The network with int8, as its file is read.
        file_format: Name of its format.
    """
    request = export.int8 or Int8Request()
    device = request.device or ExportDevice(find_format(file_format))
    accuracy = compare_accuracy(before.run, after.run, request)
    times = _latencies(export.model.spec, device, before.load, after.load)
    facts: dict[str, Any] = {
        "calibrated_on": request.source,
        "accuracy": None
        if accuracy is None
        else {
            "images": accuracy.images,
            "fp32": accuracy.before,
            "int8": accuracy.after,
            "loss_points": accuracy.loss,
            "loss_points_error": 100 * accuracy.error,
            "same_class": accuracy.same_class,
        },
        "latency": {"fp32": times[0].to_dict(), "int8": times[1].to_dict()},
        "bytes": {"fp32": before.size, "int8": after.size},
    }

    # XNNPACK has no hard swish with int8.
    functions = ("relu6",) if file_format.startswith("tflite") else ("relu6", "hard_swish")

    def check(parity: Parity) -> None:
        if not np.isfinite(parity.difference):
            raise MixnasError(
                "the quantized network's outputs are not numbers; no file was written"
            )
        if accuracy is not None and accuracy.loss > request.max_loss:
            raise MixnasError(_collapse(accuracy, request, export.model.spec, functions))

    return Written(after.run, check, {"int8": facts})


def _latencies(
    spec: NetworkSpec, device: ExportDevice, before: Load, after: Load
) -> tuple[Latency, Latency]:
    """Measure both precisions: the very files here, networks of the same operators elsewhere.

    The form in which int8 is fastest is not the one in which fp32 is, so a lowered network is
    measured with fp32 in the form that it would have been exported in.
    """
    opened = device.for_files()
    if not isinstance(opened, LocalDevice):
        fp32, int8 = device.elsewhere("fp32"), device.elsewhere("int8")
        return measure_quietly(fp32, spec), measure_quietly(int8, spec)
    side, runtime = spec.input.resolution, opened.runtime
    opened.prepare()
    if device.lowered:
        first = measure_quietly(device.elsewhere("fp32"), spec)
    else:
        first = quietest(lambda: opened.time(lambda: before(runtime), side, None))
    second = quietest(lambda: opened.time(lambda: after(runtime), side, None))
    # The device is told neither, since it is given files.
    return (
        dataclasses.replace(first, precision="fp32", lowered=device.lowered),
        dataclasses.replace(second, precision="int8", lowered=device.lowered),
    )


def _collapse(
    accuracy: AccuracyChange, request: Int8Request, spec: NetworkSpec, functions: Sequence[str]
) -> str:
    """Return what to tell of a network that has lost too much."""
    lost = (
        f"int8 loses {accuracy.loss:.1f} percentage points of accuracy on {accuracy.images} "
        f"validation images ({accuracy.before:.1%} to {accuracy.after:.1%}; --max-loss allows "
        f"{request.max_loss:g}); no file was written"
    )
    reason, remedy = _usual_reason(spec, functions)
    return (
        f"{lost}. {reason}{remedy}calibrate on more images (--calibration), keep fp32, or accept "
        f"the loss with --max-loss {np.ceil(accuracy.loss):.0f}"
    )


def _usual_reason(spec: NetworkSpec, functions: Sequence[str]) -> tuple[str, str]:
    """Return the usual reason for a loss, and what to train instead.

    Args:
        spec: The network.
        functions: Activation functions that the runtime computes well with int8.
    """
    leaves = [layer.leaf for layer in walk(spec.tree(), spec.in_shape)]
    swish = any(isinstance(leaf, Activation) and leaf.function == "swish" for leaf in leaves)
    gates = [leaf for leaf in leaves if isinstance(leaf, SqueezeExcite)]
    swish = swish or any(gate.activation == "swish" for gate in gates)
    names = [n for n, has in (("swish", swish), ("squeeze-and-excitation", bool(gates))) if has]
    if not names:
        return "", "To help: "
    changes = [
        change
        for change, has in (
            (f"`activation: {'` or `'.join(functions)}`", swish),
            ("`se_ratio: 0`", bool(gates)),
        )
        if has
    ]
    return (
        f"The network has {' and '.join(names)}, the usual reason: a few large values take most of "
        "the 256 steps. ",
        f"Train a variant with {' and '.join(changes)} in its spec, ",
    )
