"""PyTorch: eager or compiled, on the processor or on a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import nn

from nas.errors import MixnasError, UnrunnableError
from nas.latency.runtimes.base import Program, TimedRun, noise
from nas.machine import machine_name, usable_cores
from nas.torch_model import to_loaded_module


class Torch:
    """Runs networks in PyTorch, channels last."""

    def __init__(
        self, place: str, compiled: bool, threads: int | None, batch: int, precision: str = "fp32"
    ) -> None:
        """Choose where and how.

        Args:
            place: ``cpu`` or ``cuda``.
            compiled: by ``torch.compile``.
            threads: of torch; all usable cores if None.
            batch: images a run.
            precision: ``fp32``.

        Raises:
            MixnasError: when there is no GPU, or the precision is another one.
        """
        if precision != "fp32":
            raise MixnasError(f"precision {precision} runs in ONNX Runtime only; use fp32 in torch")
        if place == "cuda" and not torch.cuda.is_available():
            raise MixnasError("torch finds no CUDA device here; use torch:cpu, or onnxruntime:cpu")
        self.name = f"{'compile' if compiled else 'torch'}:{place}"
        self.version = f"torch {torch.__version__}"
        self.machine = torch.cuda.get_device_name() if place == "cuda" else machine_name()
        self.threads = threads or usable_cores()
        self.places_threads = False
        self.tunable = not compiled
        self.batch = batch
        self._place = torch.device(place)
        self._compiled = compiled

    def load(self, program: Program) -> TimedRun:
        """See `Runtime.load`."""
        torch.set_num_threads(self.threads)
        module = to_loaded_module(program.tree, program.weights).to(self._place)
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        images = torch.from_numpy(noise(self.batch, program.shape)).to(
            self._place, memory_format=torch.channels_last
        )
        forward = self._forward(module)
        with torch.inference_mode():
            try:
                forward(images)
            except Exception as error:  # of the compiler, its C++ compiler, or memory
                reason = str(error).strip().splitlines()[0]
                raise UnrunnableError(f"{self.name} cannot run the network: {reason}") from None
        return self._timed(forward, images)

    def _forward(self, module: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
        if not self._compiled:
            return module
        torch.compiler.reset()  # every network is another program; none is used again
        compiled: Callable[[torch.Tensor], torch.Tensor] = torch.compile(module)
        return compiled

    def _timed(
        self, forward: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor
    ) -> TimedRun:
        def on_processor() -> float:
            with torch.inference_mode():
                start = time.perf_counter_ns()
                forward(images)
                return (time.perf_counter_ns() - start) / 1e6

        def on_gpu() -> float:
            start = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            with torch.inference_mode():
                start.record()
                forward(images)
                end.record()
            end.synchronize()
            return float(start.elapsed_time(end))

        return on_gpu if self._place.type == "cuda" else on_processor
