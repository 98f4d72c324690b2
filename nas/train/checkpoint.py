"""Checkpoints: a training run in one safetensors file, from which it resumes bit for bit."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from nas.errors import MixnasError
from nas.files import write_atomic
from nas.train.loop import Trainer

_FORMAT = "mixnas.checkpoint/1"


def save_checkpoint(trainer: Trainer, path: Path, about: dict[str, Any]) -> None:
    """Write a training's state to a file, whole or not at all.

    Args:
        trainer: Training, between two steps.
        path: Path of the file.
        about: Plain data that identifies the training; `load_checkpoint` compares it.

    Raises:
        MixnasError: If the optimizer has state that cannot be saved.
    """
    tensors, facts = _state(trainer)
    metadata = {"form": _FORMAT, "facts": json.dumps(facts), "about": json.dumps(about)}
    _write(tensors, path, metadata)


def load_checkpoint(trainer: Trainer, path: Path, about: dict[str, Any]) -> None:
    """Bring a trainer to the state in a file.

    Args:
        trainer: Training, freshly built in the same way as the one that was saved.
        path: Path of the file.
        about: Plain data that identifies the training; must equal what was saved.

    Raises:
        MixnasError: If the file is damaged, or belongs to another training run.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if metadata.get("form") != _FORMAT:
            raise MixnasError(f"{path} is not the checkpoint of a training run")
        _check_same(json.loads(metadata["about"]), about, path)
        _restore(trainer, tensors, json.loads(metadata["facts"]))
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise MixnasError(
            f"{path} cannot be resumed from ({error}); start a new training run"
        ) from None


def _check_same(saved: dict[str, Any], about: dict[str, Any], path: Path) -> None:
    """Refuse a checkpoint of a training with other settings."""
    for name in sorted({*saved, *about}):
        if saved.get(name) != about.get(name):
            raise MixnasError(
                f"{path} belongs to another training run: {name} was {saved.get(name)}, "
                f"but is {about.get(name)} now"
            )


class Checkpointer:
    """Saves a training's state at intervals."""

    def __init__(
        self, trainer: Trainer, path: Path, about: dict[str, Any], interval: float
    ) -> None:
        """Start the clock.

        Args:
            trainer: Training to save.
            path: Path of the checkpoint.
            about: Plain data that identifies the training (see `save_checkpoint`).
            interval: Time between two checkpoints, in seconds.
        """
        self._trainer, self._path, self._about = trainer, path, about
        self._interval = interval
        self._saved = time.monotonic()

    def save_if_due(self, epoch_ended: bool = False) -> None:
        """Save the state if the interval has passed or an epoch has ended.

        Of several processes, only the main one writes.
        """
        if not epoch_ended and time.monotonic() - self._saved <= self._interval:
            return
        if self._trainer.placement.main:
            save_checkpoint(self._trainer, self._path, self._about)
        self._saved = time.monotonic()


def save_weights(model: nn.Module, path: Path, about: dict[str, str]) -> None:
    """Write a model's parameters and buffers to a file, whole or not at all."""
    _write(dict(model.state_dict()), path, about)


def _write(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomic(path, save(plain, metadata))


def _state(trainer: Trainer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return everything that a training needs to resume: tensors by name, and plain values.

    Raises:
        MixnasError: If the optimizer has state that is neither a tensor nor a number.
    """
    tensors = {f"model.{name}": t for name, t in trainer.model.state_dict().items()}
    if trainer.average is not None:
        tensors |= {f"average.{name}": t for name, t in trainer.average.state_dict().items()}
    optimiser = trainer.optimiser.state_dict()
    plain: dict[str, dict[str, Any]] = {}
    for index, values in optimiser["state"].items():
        for name, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"optimiser.{index}.{name}"] = value
            elif isinstance(value, int | float):
                plain.setdefault(str(index), {})[name] = value
            elif value is not None:
                raise MixnasError(
                    f"the state of the optimizer '{trainer.recipe.optimiser}' cannot be saved "
                    f"('{name}' is not a tensor); choose another optimizer"
                )
    tensors["sums"] = trainer.sums
    facts = {
        "step": trainer.step,
        "losses": trainer.losses,
        "accuracies": trainer.accuracies,
        "optimiser": plain,
        "groups": [_plain_values(group) for group in optimiser["param_groups"]],
        "placement": trainer.placement.state(),
    }
    return tensors, facts


def _plain_values(group: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in group.items() if isinstance(v, int | float | str)}


def _restore(trainer: Trainer, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    trainer.model.load_state_dict(_with_prefix(tensors, "model."))
    if trainer.average is not None:
        trainer.average.load_state_dict(_with_prefix(tensors, "average."))
    weights = [w for group in trainer.optimiser.param_groups for w in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for name, tensor in _with_prefix(tensors, "optimiser.").items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = _laid_out_as(weights[int(index)], tensor)
    for index, values in facts["optimiser"].items():
        state.setdefault(int(index), {}).update(values)
    fresh = trainer.optimiser.state_dict()["param_groups"]
    groups = [{**new, **saved} for new, saved in zip(fresh, facts["groups"], strict=True)]
    trainer.optimiser.load_state_dict({"state": state, "param_groups": groups})
    trainer.placement.restore(facts["placement"])
    trainer.step = facts["step"]
    trainer.losses, trainer.accuracies = list(facts["losses"]), list(facts["accuracies"])
    (trainer.sums,) = trainer.placement.to_device(tensors["sums"].clone())


def _laid_out_as(weight: Tensor, tensor: Tensor) -> Tensor:
    """Give a tensor the memory format of its weight, as fused optimizers require."""
    same = tensor.shape == weight.shape
    return torch.empty_like(weight, dtype=tensor.dtype).copy_(tensor) if same else tensor


def _with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names have a prefix, under their names without it."""
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
