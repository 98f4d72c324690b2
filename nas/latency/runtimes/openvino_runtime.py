"""Networks in OpenVINO, on its CPU plugin."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np

from nas.errors import MixnasError, UnrunnableError, reason_of
from nas.imports import openvino_core, require
from nas.ir import Shape
from nas.latency.runtimes.base import Program, TimedRun, noise
from nas.latency.runtimes.model_runtime import CpuRuntime, LoadedModel, timed
from nas.latency.runtimes.models import refusing, serialized
from nas.latency.runtimes.operators import RUNS, convolution_kind, summed

_DYNAMIC = -1


class OpenVino(CpuRuntime):
    """Runs networks in OpenVINO: one at a time (one stream), in float32 or int8 arithmetic.

    OpenVINO pins its threads itself, unless it is told not to. It does not use cores that the
    calling thread is kept from, so that thread must not be pinned to a single one.
    """

    family = "openvino"
    title = "OpenVINO"
    model_format = "onnx"
    own_format = "openvino"  # see `load_read`
    precisions = ("fp32", "int8")

    def __init__(
        self, processor: str, threads: int | None, batch: int, precision: str = "fp32"
    ) -> None:
        """See `CpuRuntime`.

        Raises:
            MixnasError: If OpenVINO cannot use that many threads here.
        """
        super().__init__(processor, threads, batch, precision)
        self._core = openvino_core()  # before anything else of OpenVINO is imported
        if precision == "int8":
            require("nncf")
        import openvino

        self._openvino = openvino
        self.version = f"openvino {version('openvino')}"
        if precision == "int8":  # another quantizer may make another network
            self.version += f", nncf {version('nncf')}"
        used = self._threads_used()
        if threads is not None and used != threads:
            raise MixnasError(
                f"OpenVINO would compute with {used} instead of {threads} threads on the cores "
                f"that this process may use; choose --threads {used} or less"
            )
        self.threads = used

    def open_program(self, program: Program, batch: int) -> LoadedModel:
        """See `ModelRuntime.open_program`; networks are quantized as `nas.export` does, by NNCF."""
        return self.open_read(self._read_program(program, batch), batch)

    def open_model(self, model: bytes, batch: int) -> OpenVinoModel:
        """See `ModelRuntime.open_model`."""
        return self.open_read(self._read(model), batch)

    def operator_ms(self, program: Program) -> dict[str, float]:
        """See `ProfilingRuntime`; operators that were fused take the name of the first of them."""
        read = self._read_program(program, self.batch)
        kinds = _convolutions(read)
        loaded = self.open_read(read, self.batch, PERF_COUNT=True)
        loaded.feed(noise(self.batch, loaded.shape))
        times = []
        for _ in range(RUNS):
            loaded.run()
            times += [(name, kinds.get(name, kind), ms) for name, kind, ms in loaded.profile()]
        return summed(times)

    def _read(self, model: bytes) -> Any:
        try:
            return self._core.read_model(model)
        except RuntimeError as error:
            raise UnrunnableError(f"OpenVINO rejects the model: {_reason(error)}") from None

    def _read_program(self, program: Program, batch: int) -> Any:
        """Return a network as an `openvino.Model`, quantized if the runtime computes in int8."""
        if self.precision == "fp32":
            return self._read(serialized(program, self.model_format, self.precision, batch))
        from nas.formats.openvino_ir import quantize, to_openvino

        with refusing("quantized to int8"):
            model = to_openvino(program.tree, program.shape, program.weights)
            return quantize(model, program.shape)

    def load_read(self, read: Any) -> TimedRun:
        """Make a model that has been read ready to be timed; its batch size is changed.

        Args:
            read: An `openvino.Model` with one input, a batch of images.

        Raises:
            UnrunnableError: If OpenVINO rejects it.
            MixnasError: If its input is not a batch of images.
        """
        return timed(self.open_read(read, self.batch), self.batch)

    def open_read(self, read: Any, batch: int, **options: Any) -> OpenVinoModel:
        """Open a model that has been read, for a batch of images; see `load_read`.

        Args:
            read: An `openvino.Model` with one input, a batch of images.
            batch: Number of images per run.
            options: Further options of OpenVINO.
        """
        shape = _image_shape(read, batch)
        try:
            read.reshape([batch, *shape])
            return OpenVinoModel(self._compiled(read, options).create_infer_request(), shape)
        except RuntimeError as error:
            raise UnrunnableError(f"OpenVINO rejects the model: {_reason(error)}") from None

    def _compiled(self, model: Any, further: Mapping[str, Any] | None = None) -> Any:
        options = {
            "INFERENCE_NUM_THREADS": self.threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",  # it would be bfloat16 where the processor has it
            "ENABLE_HYPER_THREADING": True,  # fewer threads would be used than were asked for
            **(further or {}),
        }
        return self._core.compile_model(model, "CPU", options)

    def _threads_used(self) -> int:
        """Return the number of threads that a network really has."""
        from openvino import opset13

        images = opset13.parameter([1, 1, 1, 1], self._openvino.Type.f32)
        smallest = self._openvino.Model([opset13.relu(images)], [images], "smallest")
        return int(self._compiled(smallest).get_property("INFERENCE_NUM_THREADS"))


class OpenVinoModel:
    """A model in OpenVINO."""

    def __init__(self, request: Any, shape: Shape) -> None:
        """Wrap a request of a compiled model.

        Args:
            request: The request, which holds inputs and outputs.
            shape: Shape of one image (C, H, W).
        """
        self._request = request
        self.shape = shape

    def feed(self, images: np.ndarray) -> None:
        """See `LoadedModel`."""
        np.copyto(self._request.get_input_tensor().data, images)

    def run(self) -> None:
        """See `LoadedModel`."""
        self._request.infer(share_outputs=True)

    def outputs(self) -> np.ndarray:
        """See `LoadedModel`."""
        return np.array(self._request.get_output_tensor(0).data)

    def profile(self) -> list[tuple[str, str, float]]:
        """Return name, type and milliseconds of each operator in the last run."""
        return [
            (info.node_name, info.node_type, info.real_time.total_seconds() * 1000)
            for info in self._request.get_profiling_info()
            if info.status == info.EXECUTED
        ]


def _image_shape(model: Any, asked: int) -> Shape:
    """Return the shape of one image of a model's only input, a batch of so many images."""
    inputs = [
        (given.get_any_name(), given.get_element_type().get_type_name(), given.get_partial_shape())
        for given in model.inputs
    ]
    sizes = _sizes(inputs[0][2]) if len(inputs) == 1 and inputs[0][1] == "f32" else []
    if len(sizes) != 4 or min(sizes[1:]) < 1:
        found = ", ".join(f"{name}: {kind} {shape}" for name, kind, shape in inputs)
        raise MixnasError(
            f"the model's inputs are ({found}); it must have one float input (batch, C, H, W) "
            "with fixed channels, height and width"
        )
    batch, channels, height, width = sizes
    if batch not in (_DYNAMIC, 1, asked):  # that of 1 can be changed
        raise MixnasError(
            f"the model's batch size is fixed at {batch}; it must be {asked}, or dynamic"
        )
    return channels, height, width


def _sizes(shape: Any) -> list[int]:
    """Return the dimensions of a shape, `_DYNAMIC` for those that are not fixed."""
    if shape.rank.is_dynamic:
        return []
    return [_DYNAMIC if size.is_dynamic else int(size.get_length()) for size in shape]


def _reason(error: RuntimeError) -> str:
    """Return what an exception says after naming the places in OpenVINO's source."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith(("Exception from", "Check '"))]
    return reason_of(RuntimeError(told[0])) if told else reason_of(error)


def _convolutions(model: Any) -> dict[str, str]:
    """Return the kinds of a model's convolutions by their names."""
    found = {}
    for node in model.get_ops():
        if node.get_type_name() in ("Convolution", "GroupConvolution"):
            image, weights = (
                _sizes(node.input(0).get_partial_shape()),
                _sizes(node.input(1).get_partial_shape()),
            )
            *_, width, height, breadth = weights
            kind = convolution_kind((height, breadth), width, image[1], image[-1])
            found[node.get_friendly_name()] = kind
    return found
