"""Networks in LiteRT (TensorFlow Lite), whose CPU kernels are those of XNNPACK."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np

from nas.errors import MixnasError, UnrunnableError, reason_of
from nas.imports import require
from nas.latency.runtimes.model_runtime import CpuRuntime


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
        if precision == "int8":
            require("ai_edge_quantizer")
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter
        self.tunable = True  # small networks are quantized in no time
        self.version = f"ai-edge-litert {version('ai-edge-litert')}"
        if precision == "int8":  # another quantizer may make another network
            self.version += f", ai-edge-quantizer {version('ai-edge-quantizer')}"

    def open_model(self, model: bytes, batch: int) -> LiteRTModel:
        """See `ModelRuntime.open_model`."""
        try:
            interpreter = self._interpreter(model_content=model, num_threads=self.threads)
            interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise UnrunnableError(f"LiteRT rejects the model: {reason_of(error)}") from None
        return LiteRTModel(interpreter, batch)


class LiteRTModel:
    """A model in LiteRT; its images are channels last."""

    def __init__(self, interpreter: Any, batch: int) -> None:
        """Look up the input of a model whose tensors have been allocated."""
        self._interpreter = interpreter
        self._input, (height, width, channels) = _image_input(interpreter, batch)
        self.shape = (channels, height, width)
        self.run = interpreter.invoke

    def feed(self, images: np.ndarray) -> None:
        """See `LoadedModel`."""
        self._interpreter.set_tensor(self._input, images.transpose(0, 2, 3, 1))

    def outputs(self) -> np.ndarray:
        """See `LoadedModel`."""
        output = self._interpreter.get_output_details()[0]["index"]
        return np.array(self._interpreter.get_tensor(output))


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
