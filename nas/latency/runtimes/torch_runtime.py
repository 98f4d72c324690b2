"""Networks in PyTorch: eager or compiled, on the CPU or on a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from nas.errors import MixnasError, UnrunnableError, reason_of, unknown
from nas.ir import Shape
from nas.latency.runtimes.base import Program, TimedRun, noise
from nas.machine import machine_name, usable_cores
from nas.torch_model import to_loaded_module

PROCESSORS = ("cpu", "cuda")
Forward = Callable[[torch.Tensor], torch.Tensor]


class Torch:
    """Runs networks in PyTorch, in the channels-last memory format."""

    model_format = None

    def __init__(
        self,
        processor: str,
        compiled: bool,
        threads: int | None,
        batch: int,
        precision: str = "fp32",
    ) -> None:
        """Open PyTorch.

        Args:
            processor: ``cpu`` or ``cuda``.
            compiled: Whether to compile networks with ``torch.compile``.
            threads: Number of threads; None for one per usable core.
            batch: Number of images per run.
            precision: ``fp32``.

        Raises:
            MixnasError: If the processor is unknown, if there is no GPU, or if the precision is not
                supported.
        """
        if processor not in PROCESSORS:
            raise MixnasError(unknown("processor of torch", processor, PROCESSORS))
        if precision != "fp32":
            raise MixnasError(
                f"precision {precision} does not run in torch; use fp32 there, or another runtime"
            )
        if processor == "cuda" and not torch.cuda.is_available():
            raise MixnasError("torch finds no CUDA device here; use torch:cpu or onnxruntime:cpu")
        self.name = f"{'compile' if compiled else 'torch'}:{processor}"
        self.version = f"torch {torch.__version__}"
        self.machine = torch.cuda.get_device_name() if processor == "cuda" else machine_name()
        self.threads = threads or usable_cores()
        self.pins_threads = False
        self.tunable = not compiled
        self.batch = batch
        self._device = torch.device(processor)
        self._compiled = compiled
        self.own_format = None if compiled else "torch"

    def load(self, program: Program) -> TimedRun:
        """See `Runtime.load`."""
        return self._timed(*self._ready(program, noise(self.batch, program.shape)))

    def load_module(self, module: nn.Module, shape: Shape) -> TimedRun:
        """Make a module ready to run on images of random noise; see `ModuleRuntime`."""
        return self._timed(*self._warm(module, noise(self.batch, shape)))

    def load_read(self, read: tuple[nn.Module, Shape]) -> TimedRun:
        """Make a module that was read from a file ready to be timed.

        Args:
            read: The module, and the shape of one of its images.
        """
        return self.load_module(*read)

    def outputs(self, program: Program, images: np.ndarray) -> np.ndarray:
        """See `Runtime.outputs`."""
        forward, given = self._ready(program, images)
        with torch.inference_mode():
            outputs: np.ndarray = forward(given).cpu().numpy()
        return outputs

    def _ready(self, program: Program, images: np.ndarray) -> tuple[Forward, torch.Tensor]:
        return self._warm(to_loaded_module(program.tree, program.weights), images)

    def _warm(self, module: nn.Module, images: np.ndarray) -> tuple[Forward, torch.Tensor]:
        """Return a module and its images on the device, after a first run."""
        torch.set_num_threads(self.threads)
        module = module.to(self._device)
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        given = torch.from_numpy(images).to(self._device, memory_format=torch.channels_last)
        forward = self._forward(module)
        with torch.inference_mode():
            try:
                forward(given)
            except Exception as error:  # from torch.compile, the C++ compiler or the allocator
                reason = reason_of(error)
                raise UnrunnableError(f"{self.name} cannot run the network: {reason}") from None
        return forward, given

    def load_model(self, model: bytes) -> TimedRun:
        """See `Runtime.load_model`."""
        raise MixnasError(
            f"{self.name} runs layer trees and modules; it takes no serialized models"
        )

    def _forward(self, module: nn.Module) -> Forward:
        if not self._compiled:
            return module
        torch.compiler.reset()  # no network is run again, so its compiled code can be dropped
        compiled: Forward = torch.compile(module)
        return compiled

    def _timed(self, forward: Forward, images: torch.Tensor) -> TimedRun:
        def run_on_cpu() -> float:
            with torch.inference_mode():
                start = time.perf_counter_ns()
                forward(images)
                return (time.perf_counter_ns() - start) / 1e6

        def run_on_gpu() -> float:
            start = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            with torch.inference_mode():
                start.record()
                forward(images)
                end.record()
            end.synchronize()
            return float(start.elapsed_time(end))

        return run_on_gpu if self._device.type == "cuda" else run_on_cpu
