"""Networks in LiteRT (TensorFlow Lite), whose CPU kernels are those of XNNPACK."""

from __future__ import annotations

import time
from importlib.metadata import version
from typing import Any

import numpy as np

from nas.errors import MixnasError, UnrunnableError, reason_of
from nas.latency.runtimes.base import TimedRun, noise
from nas.latency.runtimes.cpu import CpuRuntime


class LiteRT(CpuRuntime):
    """Runs networks in LiteRT."""

    family = "litert"
    title = "LiteRT"
    model_format = "tflite"
    precisions = ("fp32", "int8")

    def __init__(
        self, processor: str, threads: int | None, batch: int, precision: str = "fp32"
    ) -> None:
        """See `CpuRuntime`."""
        super().__init__(processor, threads, batch, precision)
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter
        self.tunable = True  # small networks are quantized in no time
        self.version = f"ai-edge-litert {version('ai-edge-litert')}"

    def load_model(self, model: bytes) -> TimedRun:
        """See `Runtime.load_model`."""
        try:
            interpreter = self._interpreter(model_content=model, num_threads=self.threads)
            interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise UnrunnableError(f"LiteRT rejects the model: {reason_of(error)}") from None
        index, (height, width, channels) = _image_input(interpreter, self.batch)
        images = noise(self.batch, (channels, height, width)).transpose(0, 2, 3, 1)
        interpreter.set_tensor(index, images)

        def run() -> float:
            start = time.perf_counter_ns()
            interpreter.invoke()
            return (time.perf_counter_ns() - start) / 1e6

        return run


def _image_input(interpreter: Any, batch: int) -> tuple[int, tuple[int, int, int]]:
    """Return the index of a model's input, and the height, width and channels of its images."""
    inputs = interpreter.get_input_details()
    shape = [int(size) for size in inputs[0]["shape"]] if len(inputs) == 1 else []
    if len(shape) != 4 or min(shape) < 1 or inputs[0]["dtype"] != np.float32:
        found = ", ".join(
            f"{given['name']}: {np.dtype(given['dtype']).name} {given['shape'].tolist()}"
            for given in inputs
        )
        raise MixnasError(
            f"the model's inputs are ({found}); it must have one float32 input (batch, H, W, C)"
        )
    if shape[0] != batch:
        raise MixnasError(f"the model's batch size is fixed at {shape[0]}; it must be {batch}")
    return inputs[0]["index"], (shape[1], shape[2], shape[3])
