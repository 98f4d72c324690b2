"""Where a training runs: its device, its precision, and the processes that share the work."""

from __future__ import annotations

import gc
import os
import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nas.errors import MixnasError, unknown
from nas.machine import name_here
from nas.train.settings import PlacementSettings

if TYPE_CHECKING:
    from accelerate import Accelerator

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
DATA_SHARE = 0.25  # largest share of a device's free memory that a data set may take


def check_device(device: str) -> None:
    """Check the name of a device, and that it is there.

    Raises:
        MixnasError: If it is unknown, or this machine has no such device.
    """
    kind, _, number = device.partition(":")
    if re.fullmatch(r"cpu|mps|cuda(:[0-9]{1,3})?", device) is None:
        raise MixnasError(
            f"unknown device '{device}'; allowed: cpu, cuda, cuda:0, ..., mps, or auto"
        )
    if kind == "cuda" and not torch.cuda.is_available():
        raise MixnasError(f"torch finds no CUDA device, so nothing can run on {device}; use cpu")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        last = torch.cuda.device_count() - 1
        raise MixnasError(f"there is no {device}; torch finds cuda:0 to cuda:{last}")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise MixnasError("torch finds no Apple GPU, so nothing can run on mps; use cpu")


def find_placement(on: str, precision: str) -> PlacementSettings:
    """Return where to train on this machine: ``auto`` is the accelerator that is there, or the CPU.

    Args:
        on: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ... or ``mps``.
        precision: ``auto``, or one of `PRECISIONS`.

    Raises:
        MixnasError: If one of them is unknown, or this machine has no such device.
    """
    if precision not in ("auto", *PRECISIONS):
        raise MixnasError(unknown("precision", precision, ("auto", *PRECISIONS)))
    if on == "auto":
        on = "cpu"
        if torch.cuda.is_available():
            on = "cuda"
        elif torch.backends.mps.is_available():
            on = "mps"
    check_device(on)
    return PlacementSettings(on, precision)


def describe(settings: PlacementSettings) -> str:
    """Return the name of a device for people, such as ``cuda (2 x NVIDIA H100)``."""
    if settings.kind != "cuda":
        return settings.on
    name = torch.cuda.get_device_name(settings.on)
    count = len(gpus_of(settings))
    return f"{settings.on} ({f'{count} x ' if count > 1 else ''}{name})"


def gpus_of(settings: PlacementSettings) -> list[str]:
    """Return the GPUs that a placement may use, as torch names them here; none but on CUDA.

    Plain ``cuda`` stands for all of them, a number for one.
    """
    if settings.kind != "cuda":
        return []
    if settings.on != "cuda":
        return [settings.on]
    return [f"cuda:{number}" for number in range(torch.cuda.device_count())]


def open_placement(
    settings: PlacementSettings, resolution: int, compiled: bool = False
) -> Placement:
    """Return the placement of a training of one process.

    Args:
        settings: Where to train.
        resolution: Side of the images, in pixels, on which automatic precision depends.
        compiled: Whether networks are compiled with `torch.compile`.

    Raises:
        MixnasError: If this machine has no such device.
    """
    return Placement(name_here(settings.on), settings.precision_at(resolution), compiled)


def placement_opener(on: str, precision: str, compiled: bool) -> Callable[[int], Placement]:
    """Return a function that opens the placement for images of a side, in pixels.

    Several processes share the work if `accelerate launch` has started them.

    Args:
        on: Device (see `find_placement`).
        precision: Precision (see `find_placement`).
        compiled: Whether networks are compiled with `torch.compile`.

    Raises:
        MixnasError: If there is no such device or precision.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        from accelerate import Accelerator

        # The placement handles precision, whatever the launcher was configured for.
        if on not in ("auto", "cpu", "cuda"):
            raise MixnasError(
                f"--on {on}: several processes take a GPU each; give auto, cpu or cuda"
            )
        accelerator = Accelerator(cpu=on == "cpu", mixed_precision="no")
        found = PlacementSettings(accelerator.device.type, precision)
        return lambda resolution: AcceleratePlacement(
            accelerator, found.precision_at(resolution), compiled
        )
    found = find_placement(on, precision)
    return lambda resolution: open_placement(found, resolution, compiled)


def release_memory() -> None:
    """Give memory back that torch keeps for later, since other processes may share the GPU."""
    gc.collect()  # trainings contain reference cycles
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def has_room_for(size: int, device: str) -> bool:
    """Tell whether a data set can be kept on a device beside networks in training.

    Args:
        size: Size of the data set, in bytes.
        device: Device, as torch names it.
    """
    if device.startswith("cuda"):
        free, _ = torch.cuda.mem_get_info(device)
        return size <= DATA_SHARE * free
    if device == "mps":
        return size <= DATA_SHARE * torch.mps.recommended_max_memory()
    return True


def to_host(tensor: Tensor) -> Tensor:
    """Wait for the device, and return a tensor in main memory.

    All waiting for the numbers that a step or a score computes happens here, so that tests can see
    how often it does: a device that is waited for at every step is idle most of the time.
    """
    return tensor.cpu()


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
        check_device(self.device)
        if self.precision == "fp16" and self.kind == "mps":
            raise MixnasError("fp16 needs scaled gradients, which mps lacks; use bf16 or fp32")
        if self.precision == "fp16" and self.kind == "cuda":
            self._scaler = torch.amp.GradScaler()

    @property
    def main(self) -> bool:
        """Whether this is the process that writes files and prints."""
        return self.rank == 0

    @property
    def kind(self) -> str:
        """Kind of the device, without its number."""
        return self.device.partition(":")[0]

    def accumulator(self, *shape: int) -> Tensor:
        """Return zeros on the device that sums are added to, in double precision if it has it."""
        dtype = torch.float32 if self.kind == "mps" else torch.float64
        return torch.zeros(shape, dtype=dtype, device=self.device)

    def place(self, model: nn.Module) -> nn.Module:
        """Move a model to the device in place, in the channels-last format."""
        moved: nn.Module = model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return moved

    def training_module(self, model: nn.Module) -> nn.Module:
        """Return the module that computes training steps of a placed model."""
        return torch.compile(model) if self.compiled else model  # type: ignore[return-value]

    def to_device(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Move tensors to the device."""
        if self.kind == "cpu":
            return tensors
        # Other devices than CUDA may still be copying when the source is gone.
        unblocked = self.kind == "cuda"
        return tuple(tensor.to(self.device, non_blocking=unblocked) for tensor in tensors)

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context in which to run a forward pass."""
        dtype = PRECISIONS[self.precision]
        if dtype is None:
            return nullcontext()
        return torch.autocast(self.kind, dtype)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss to those of the weights."""
        if self._scaler is not None:
            loss = self._scaler.scale(loss)
        loss.backward()  # type: ignore[no-untyped-call]

    def finish_gradients(self, optimiser: torch.optim.Optimizer) -> None:
        """Unscale the gradients of fp16 when those of a batch are complete."""
        if self._scaler is not None:
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
        device = accelerator.device
        super().__init__("cpu" if device.type == "cpu" else str(device), precision, compiled)
        self.accelerator = accelerator
        self.rank, self.world = accelerator.process_index, accelerator.num_processes

    def place(self, model: nn.Module) -> nn.Module:
        """See `Placement.place`; on GPUs, batch normalization uses the images of all processes."""
        if self.kind == "cuda":
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
