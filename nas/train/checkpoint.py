"""A training in one safetensors file, from which it goes on exactly as it would have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from nas.errors import MixnasError
from nas.files import write_atomic
from nas.train.loop import Trainer

_FORM = "mixnas.checkpoint/1"


def save_checkpoint(trainer: Trainer, path: Path, about: dict[str, Any]) -> None:
    """Write a training's state, whole or not at all.

    Args:
        trainer: between two steps.
        path: of the file.
        about: plain data to keep beside, which `load_checkpoint` compares.
    """
    tensors, facts = _state(trainer)
    metadata = {"form": _FORM, "facts": json.dumps(facts), "about": json.dumps(about)}
    _write(tensors, path, metadata)


def load_checkpoint(trainer: Trainer, path: Path, about: dict[str, Any]) -> None:
    """Let a trainer go on where a file's training was.

    Raises:
        MixnasError: when the file is damaged, or comes from another training.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if metadata.get("form") != _FORM:
            raise MixnasError(f"{path} is no checkpoint of a training")
        _check_same(json.loads(metadata["about"]), about, path)
        _restore(trainer, tensors, json.loads(metadata["facts"]))
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise MixnasError(f"{path} cannot be gone on with ({error}); train anew") from None


def _check_same(kept: dict[str, Any], about: dict[str, Any], path: Path) -> None:
    """Raise when a checkpoint is of a training that was asked for otherwise."""
    for name in sorted({*kept, *about}):
        if kept.get(name) != about.get(name):
            raise MixnasError(
                f"{path} is of another training: its {name} was {kept.get(name)}, "
                f"and is {about.get(name)} now"
            )


def save_weights(model: nn.Module, path: Path, about: dict[str, str]) -> None:
    """Write a model's parameters and buffers, whole or not at all."""
    _write(dict(model.state_dict()), path, about)


def _write(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomic(path, save(plain, metadata))


def _state(trainer: Trainer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return all that a training needs to go on: tensors by name, and plain facts."""
    tensors = {f"model.{name}": t for name, t in trainer.model.state_dict().items()}
    if trainer.average is not None:
        tensors |= {f"average.{name}": t for name, t in trainer.average.state_dict().items()}
    kept = trainer.optimiser.state_dict()
    plain: dict[str, dict[str, Any]] = {}
    for index, values in kept["state"].items():
        for name, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"optimiser.{index}.{name}"] = value
            elif isinstance(value, int | float):
                plain.setdefault(str(index), {})[name] = value
            elif value is not None:
                raise MixnasError(
                    f"the state of the optimiser '{trainer.recipe.optimiser}' cannot be kept "
                    f"('{name}' is no tensor); choose another one"
                )
    tensors["sums"] = trainer.sums
    facts = {
        "step": trainer.step,
        "losses": trainer.losses,
        "accuracies": trainer.accuracies,
        "optimiser": plain,
        "groups": [_plain(group) for group in kept["param_groups"]],
        "placement": trainer.placement.facts(),
    }
    return tensors, facts


def _plain(group: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in group.items() if isinstance(v, int | float | str)}


def _restore(trainer: Trainer, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    trainer.model.load_state_dict(_below(tensors, "model."))
    if trainer.average is not None:
        trainer.average.load_state_dict(_below(tensors, "average."))
    weights = [w for group in trainer.optimiser.param_groups for w in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for name, tensor in _below(tensors, "optimiser.").items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = _laid_out_as(weights[int(index)], tensor)
    for index, values in facts["optimiser"].items():
        state.setdefault(int(index), {}).update(values)
    groups = trainer.optimiser.state_dict()["param_groups"]
    groups = [{**now, **then} for now, then in zip(groups, facts["groups"], strict=True)]
    trainer.optimiser.load_state_dict({"state": state, "param_groups": groups})
    trainer.placement.restore(facts["placement"])
    trainer.step = facts["step"]
    trainer.losses, trainer.accuracies = list(facts["losses"]), list(facts["accuracies"])
    (trainer.sums,) = trainer.placement.here(tensors["sums"].clone())


def _laid_out_as(weight: Tensor, tensor: Tensor) -> Tensor:
    """Give a tensor the memory format of its weight, as fused optimisers expect."""
    same = tensor.shape == weight.shape
    return torch.empty_like(weight, dtype=tensor.dtype).copy_(tensor) if same else tensor


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
