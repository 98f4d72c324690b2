"""Networks in LiteRT (TensorFlow Lite), whose CPU kernels are those of XNNPACK."""

from __future__ import annotations

import time
from importlib.metadata import version

from nas.errors import MixnasError, UnrunnableError, reason_of, unknown
from nas.formats.tflite import to_tflite
from nas.latency.runtimes.base import Program, TimedRun, noise
from nas.machine import machine_name, usable_cores

PROCESSORS = ("cpu",)


class LiteRT:
    """Runs networks in LiteRT."""

    def __init__(
        self, processor: str, threads: int | None, batch: int, precision: str = "fp32"
    ) -> None:
        """Open LiteRT.

        Args:
            processor: ``cpu``.
            threads: Number of threads; None for one per usable core.
            batch: Number of images per run.
            precision: ``fp32``.

        Raises:
            MixnasError: If the processor or the precision is not supported.
            ModuleNotFoundError: If LiteRT is not installed.
        """
        if processor not in PROCESSORS:
            raise MixnasError(unknown("processor of LiteRT", processor, PROCESSORS))
        if precision != "fp32":
            raise MixnasError(
                f"precision {precision} runs in ONNX Runtime only; use fp32 in LiteRT"
            )
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter
        self.name = f"litert:{processor}"
        self.version = f"ai-edge-litert {version('ai-edge-litert')}"
        self.machine = machine_name()
        self.threads = threads or usable_cores()
        self.pins_threads = False
        self.tunable = True
        self.batch = batch

    def load(self, program: Program) -> TimedRun:
        """See `Runtime.load`."""
        model = to_tflite(program.tree, program.shape, program.weights, batch=self.batch)
        try:
            interpreter = self._interpreter(model_content=model, num_threads=self.threads)
            interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise UnrunnableError(f"LiteRT rejects the model: {reason_of(error)}") from None
        images = noise(self.batch, program.shape).transpose(0, 2, 3, 1)
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], images)

        def run() -> float:
            start = time.perf_counter_ns()
            interpreter.invoke()
            return (time.perf_counter_ns() - start) / 1e6

        return run
