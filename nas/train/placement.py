"""Where a training runs: its device, its precision, and the processes that share the work."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nas.errors import MixnasError, unknown

if TYPE_CHECKING:
    from accelerate import Accelerator

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass
class Placement:
    """A training of one process on one device.

    Attributes:
        device: Device, as torch names it.
        precision: ``fp32``, or ``bf16`` or ``fp16`` for automatic mixed precision.
        compiled: Whether networks are compiled with `torch.compile`.
        rank: Number of this process, from 0.
        world: Number of processes.
    """

    device: str = "cpu"
    precision: str = "fp32"
    compiled: bool = False
    rank: int = field(default=0, init=False)
    world: int = field(default=1, init=False)
    _scaler: torch.amp.GradScaler | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Check the device and the precision.

        Raises:
            MixnasError: If the device or the precision is unknown, or there is no such device.
        """
        if self.precision not in PRECISIONS:
            raise MixnasError(unknown("precision", self.precision, PRECISIONS))
        kind, _, number = self.device.partition(":")
        if kind not in ("cpu", "cuda", "mps") or not (number.isdigit() or not number):
            raise MixnasError(f"unknown device '{self.device}'; allowed: cpu, cuda, cuda:0, ...")
        if self.device.startswith("cuda") and not torch.cuda.is_available():
            raise MixnasError("torch finds no CUDA device; train on cpu")
        if self.precision == "fp16" and self.device.startswith("cuda"):
            self._scaler = torch.amp.GradScaler()

    @property
    def main(self) -> bool:
        """Whether this is the process that writes files and prints."""
        return self.rank == 0

    def place(self, model: nn.Module) -> nn.Module:
        """Move a model to the device in place, in the channels-last format."""
        moved: nn.Module = model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return moved

    def training_module(self, model: nn.Module) -> nn.Module:
        """Return the module that computes training steps of a placed model."""
        return torch.compile(model) if self.compiled else model  # type: ignore[return-value]

    def to_device(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Move tensors to the device."""
        if self.device == "cpu":
            return tensors
        return tuple(tensor.to(self.device, non_blocking=True) for tensor in tensors)

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context in which to run a forward pass."""
        dtype = PRECISIONS[self.precision]
        if dtype is None:
            return nullcontext()
        return torch.autocast(self.device.partition(":")[0], dtype)

    def backward(self, loss: Tensor, optimiser: torch.optim.Optimizer) -> None:
        """Compute the gradients; those of fp16 are unscaled, so that they can be clipped."""
        if self._scaler is None:
            loss.backward()  # type: ignore[no-untyped-call]
            return
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self._scaler.unscale_(optimiser)

    def step(self, optimiser: torch.optim.Optimizer) -> None:
        """Take a step of the optimizer."""
        if self._scaler is None:
            optimiser.step()
            return
        self._scaler.step(optimiser)
        self._scaler.update()

    def sum_over_processes(self, numbers: Tensor) -> Tensor:
        """Return the element-wise sums over all processes."""
        return numbers

    def synchronize_buffers(self, model: nn.Module) -> None:
        """Give all processes the main one's buffers, so that they evaluate the same model."""

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must hold for a training to resume exactly."""
        return {} if self._scaler is None else {"scaler": self._scaler.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        if self._scaler is not None and "scaler" in state:
            self._scaler.load_state_dict(state["scaler"])


class AcceleratePlacement(Placement):
    """A training of several processes with a device each, started by ``accelerate launch``."""

    def __init__(self, accelerator: Accelerator, precision: str, compiled: bool) -> None:
        """Join the other processes."""
        super().__init__(str(accelerator.device), precision, compiled)
        self.accelerator = accelerator
        self.rank, self.world = accelerator.process_index, accelerator.num_processes

    def place(self, model: nn.Module) -> nn.Module:
        """See `Placement.place`; on GPUs, batch normalization uses the images of all processes."""
        if self.device.startswith("cuda"):
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return super().place(model)

    def training_module(self, model: nn.Module) -> nn.Module:
        """See `Placement.training_module`."""
        prepared: nn.Module = self.accelerator.prepare_model(super().training_module(model))
        return prepared

    def sum_over_processes(self, numbers: Tensor) -> Tensor:
        """See `Placement.sum_over_processes`."""
        summed: Tensor = self.accelerator.reduce(numbers, "sum")
        return summed

    def synchronize_buffers(self, model: nn.Module) -> None:
        """See `Placement.synchronize_buffers`."""
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, 0)
