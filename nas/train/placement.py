"""Where a training runs: the device, its precision, and the processes that share the work."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nas.errors import MixnasError

if TYPE_CHECKING:
    from accelerate import Accelerator

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass
class Placement:
    """One process on one device.

    Attributes:
        device: as torch names it.
        precision: ``fp32``, or of the activations ``bf16`` or ``fp16`` (automatic mixed precision).
        compiled: whether networks go through `torch.compile`.
        rank: which of the processes this is.
        world: how many there are.
    """

    device: str = "cpu"
    precision: str = "fp32"
    compiled: bool = False
    rank: int = field(default=0, init=False)
    world: int = field(default=1, init=False)
    _scaler: torch.amp.GradScaler | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Check the choices.

        Raises:
            MixnasError: when there is no such device or precision.
        """
        if self.precision not in PRECISIONS:
            raise MixnasError(
                f"there is no precision '{self.precision}'; there are {', '.join(PRECISIONS)}"
            )
        kind, _, number = self.device.partition(":")
        if kind not in ("cpu", "cuda", "mps") or not (number.isdigit() or not number):
            raise MixnasError(f"there is no place '{self.device}'; there are cpu and cuda")
        if self.device.startswith("cuda") and not torch.cuda.is_available():
            raise MixnasError("this torch sees no CUDA device; train on cpu")
        if self.precision == "fp16" and self.device.startswith("cuda"):
            self._scaler = torch.amp.GradScaler()

    @property
    def main(self) -> bool:
        """Whether this process writes and speaks."""
        return self.rank == 0

    def place(self, model: nn.Module) -> nn.Module:
        """Move a model here, channels last, in place."""
        moved: nn.Module = model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return moved

    def trained(self, model: nn.Module) -> nn.Module:
        """Return what computes a placed model's training step."""
        return torch.compile(model) if self.compiled else model  # type: ignore[return-value]

    def here(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Move tensors to the device."""
        if self.device == "cpu":
            return tensors
        return tuple(tensor.to(self.device, non_blocking=True) for tensor in tensors)

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context that a forward pass runs in."""
        dtype = PRECISIONS[self.precision]
        if dtype is None:
            return nullcontext()
        return torch.autocast(self.device.partition(":")[0], dtype)

    def backward(self, loss: Tensor, optimiser: torch.optim.Optimizer) -> None:
        """Compute gradients, which are as they are afterwards whatever the precision."""
        if self._scaler is None:
            loss.backward()  # type: ignore[no-untyped-call]
            return
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self._scaler.unscale_(optimiser)

    def step(self, optimiser: torch.optim.Optimizer) -> None:
        """Let an optimiser take its step."""
        if self._scaler is None:
            optimiser.step()
            return
        self._scaler.step(optimiser)
        self._scaler.update()

    def total(self, numbers: Tensor) -> Tensor:
        """Return the sums over all processes."""
        return numbers

    def agree(self, model: nn.Module) -> None:
        """Give all processes the main one's buffers, so that they judge one and the same model."""

    def facts(self) -> dict[str, Any]:
        """Return what must be kept so that a training goes on exactly as it would have."""
        return {} if self._scaler is None else {"scaler": self._scaler.state_dict()}

    def restore(self, facts: dict[str, Any]) -> None:
        """Take back what `facts` gave."""
        if self._scaler is not None and "scaler" in facts:
            self._scaler.load_state_dict(facts["scaler"])


class AcceleratePlacement(Placement):
    """One of several processes, started by ``accelerate launch``; each has a device of its own."""

    def __init__(self, accelerator: Accelerator, precision: str, compiled: bool) -> None:
        """Join the others."""
        super().__init__(str(accelerator.device), precision, compiled)
        self.accelerator = accelerator
        self.rank, self.world = accelerator.process_index, accelerator.num_processes

    def place(self, model: nn.Module) -> nn.Module:
        """See `Placement.place`; on GPUs batch normalisation sees the images of all processes."""
        if self.device.startswith("cuda"):
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return super().place(model)

    def trained(self, model: nn.Module) -> nn.Module:
        """See `Placement.trained`."""
        prepared: nn.Module = self.accelerator.prepare_model(super().trained(model))
        return prepared

    def total(self, numbers: Tensor) -> Tensor:
        """See `Placement.total`."""
        summed: Tensor = self.accelerator.reduce(numbers, "sum")
        return summed

    def agree(self, model: nn.Module) -> None:
        """See `Placement.agree`."""
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, 0)
