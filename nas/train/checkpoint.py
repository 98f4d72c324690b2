"""Checkpoints: a training run in one safetensors file, from which it resumes bit for bit."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from nas.document import plain_document
from nas.errors import MixnasError, reason_of
from nas.files import write_atomic
from nas.train.loop import Trainer
from nas.train.optimisers import BUILT_IN, optimiser_state, restore_optimiser
from nas.units import number_of

_FORMAT = "mixnas.checkpoint/1"
_OPTIMISER = "optimiser."  # prefix of the names of its tensors
_AVERAGED = "average.n_averaged"  # number of steps that a moving average has followed
_MOST_SHARED = 1_000  # elements of a tensor that all weights of a group share
_FREE_OPTIONS = ("lr", "fused", "foreign")  # of an optimizer: by the step, and by the device
_Number = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True))
class _Facts:
    """The plain values of a checkpoint, as `_state` makes them."""

    step: Annotated[int, Field(ge=0)]
    losses: list[_Number]
    accuracies: list[_Number]
    optimiser: dict[str, dict[str, int | _Number]]
    groups: list[dict[str, bool | int | _Number | str]]
    placement: dict[str, Any]


_FACTS: TypeAdapter[_Facts] = TypeAdapter(_Facts)


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
    """Bring a trainer to the state in a file, which may come from anybody.

    Args:
        trainer: Training, freshly built in the same way as the one that was saved.
        path: Path of the file.
        about: Plain data that identifies the training; must equal what was saved.

    Raises:
        MixnasError: If the file is damaged, belongs to another training run, or holds what no such
            training can have come to. The trainer is of no use then.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if metadata.get("form") != _FORMAT:
            raise MixnasError(f"{path} is not the checkpoint of a training run")
        _check_same(json.loads(metadata["about"]), plain_document(about), path)
        facts = _FACTS.validate_json(metadata["facts"])
        _check_progress(trainer, facts)
        _check_weights(trainer, tensors, facts.step)
        _check_optimiser(trainer, _with_prefix(tensors, _OPTIMISER), facts)
        _check_placement(trainer.placement.state(), facts.placement)
        _restore(trainer, tensors, facts)
    except (
        *(OSError, SafetensorError, LookupError, ValueError),
        *(TypeError, AttributeError, RuntimeError),  # among the last one, RecursionError
    ) as error:
        raise MixnasError(
            f"{path} cannot be resumed from ({_reason(error)}); start a new training run"
        ) from None


def _reason(error: Exception) -> str:
    """Return an error in one line."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][:2])
        return f"{where or 'its facts'}: {first['msg'][:1].lower()}{first['msg'][1:]}"
    # Of others, all lines tell something: those of torch begin with a heading.
    return reason_of(error) if isinstance(error, KeyError) else " ".join(str(error).split())[:300]


def _check_same(saved: dict[str, Any], about: dict[str, Any], path: Path) -> None:
    """Refuse a checkpoint of a training with other settings."""
    if not isinstance(saved, dict):
        raise TypeError("what identifies it is not a mapping")
    for name in sorted({*saved, *about}):
        if saved.get(name) != about.get(name):
            what = "data (the images and their split)" if name == "data" else name
            raise MixnasError(
                f"{path} belongs to another training run: {what} was {saved.get(name)}, "
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
    tensors = _weights(trainer)
    states, optimiser = optimiser_state(trainer.optimiser, trainer.recipe.optimiser)
    tensors |= {f"{_OPTIMISER}{name}": tensor for name, tensor in states.items()}
    facts = {
        "step": trainer.step,
        "losses": trainer.losses,
        "accuracies": trainer.accuracies,
        **optimiser,
        "placement": trainer.placement.state(),
    }
    return tensors, facts


def _weights(trainer: Trainer) -> dict[str, Tensor]:
    """Return the tensors of a training by name, apart from the optimizer's."""
    tensors = {f"model.{name}": t for name, t in trainer.model.state_dict().items()}
    if trainer.average is not None:
        tensors |= {f"average.{name}": t for name, t in trainer.average.state_dict().items()}
    return {**tensors, "sums": trainer.sums}


def _restore(trainer: Trainer, tensors: dict[str, Tensor], facts: _Facts) -> None:
    trainer.model.load_state_dict(_with_prefix(tensors, "model."))
    if trainer.average is not None:
        trainer.average.load_state_dict(_with_prefix(tensors, "average."))
    values = {"optimiser": facts.optimiser, "groups": facts.groups}
    restore_optimiser(trainer.optimiser, _with_prefix(tensors, _OPTIMISER), values)
    trainer.placement.restore(facts.placement)
    trainer.step = facts.step
    trainer.losses, trainer.accuracies = list(facts.losses), list(facts.accuracies)
    (trainer.sums,) = trainer.placement.to_device(tensors["sums"].clone())


def _with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names have a prefix, under their names without it."""
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


# -- what a checkpoint may hold -------------------------------------------------------------------


def _check_progress(trainer: Trainer, facts: _Facts) -> None:
    """Refuse numbers of steps and epochs that this training cannot have come to.

    Raises:
        ValueError: With the first such number.
    """
    if facts.step > trainer.total:
        raise ValueError(f"it has taken {facts.step} of {number_of(trainer.total, 'step')}")
    epochs, rest = divmod(facts.step, trainer.epoch_steps)
    if rest and facts.step == trainer.total:
        epochs += 1  # the last one may be a part of an epoch
    for what, found in (("losses", facts.losses), ("accuracies", facts.accuracies)):
        if len(found) != epochs:
            raise ValueError(
                f"it has {len(found)} {what}, but completed {number_of(epochs, 'epoch')}"
            )


def _check_weights(trainer: Trainer, tensors: Mapping[str, Tensor], step: int) -> None:
    """Refuse tensors of another network, and values that no training continues from.

    Raises:
        ValueError: With the first such tensor.
    """
    expected = _weights(trainer)
    given = {name: t for name, t in tensors.items() if not name.startswith(_OPTIMISER)}
    for name in sorted({*expected, *given}):
        if name not in given:
            raise ValueError(f"'{name}' is missing")
        if name not in expected:
            raise ValueError(f"this training has no '{name}'")
        if _kind(given[name]) != _kind(expected[name]):
            raise ValueError(
                f"'{name}' is {_kind(given[name])}, but this training's is {_kind(expected[name])}"
            )
        _check_finite(name, given[name])
    if _AVERAGED in given and not 0 <= int(given[_AVERAGED]) <= step:
        raise ValueError(f"'{_AVERAGED}' is not a number of steps up to {step}")


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}"


def _check_finite(name: str, tensor: Tensor) -> None:
    if not bool(tensor.isfinite().all()):
        raise ValueError(f"'{name}' holds a number that is not finite")


def _check_optimiser(trainer: Trainer, tensors: Mapping[str, Tensor], facts: _Facts) -> None:
    """Refuse a state that is not that of this optimizer and these weights.

    Raises:
        ValueError: With the first value that is not.
    """
    built_in = trainer.recipe.optimiser in BUILT_IN
    groups = trainer.optimiser.param_groups
    weights = [weight for group in groups for weight in group["params"]]
    shapes: dict[int, dict[str, tuple[int, ...]]] = {}
    for name, tensor in tensors.items():
        owner, _, key = name.partition(".")
        if owner.startswith("group") and not built_in:
            _number_of(owner.removeprefix("group"), len(groups), "group")
            most = _MOST_SHARED
        else:
            index = _number_of(owner, len(weights), "weight")
            shapes.setdefault(index, {})[key] = tuple(tensor.shape)
            most = max(1, weights[index].numel())
        if tensor.numel() > most:
            raise ValueError(f"'{_OPTIMISER}{name}' is larger than what it belongs to")
        _check_finite(f"{_OPTIMISER}{name}", tensor)
        if key == "step":
            _check_step(f"{_OPTIMISER}{name}", tensor.tolist(), facts.step)
    for owner, values in facts.optimiser.items():
        index = _number_of(owner, len(weights), "weight")
        if "step" in values:
            _check_step(f"{_OPTIMISER}{owner}.step", values["step"], facts.step)
        shapes.setdefault(index, {}).update(dict.fromkeys(values, ()))
    if built_in:
        _check_complete(trainer, shapes, weights)
    for group, saved in zip(groups, facts.groups, strict=True):
        _check_group(group, saved, built_in, facts.step)


def _check_step(name: str, step: Any, most: int) -> None:
    """Refuse a number of steps that an optimizer cannot have taken."""
    if not isinstance(step, int | float) or not 0 <= step <= most:
        raise ValueError(f"'{name}' is not a number of steps up to {most}")


def _number_of(text: str, count: int, what: str) -> int:
    if not text.isdecimal() or int(text) >= count:
        raise ValueError(f"the optimizer has no {what} '{text}'")
    return int(text)


def _check_complete(
    trainer: Trainer, shapes: Mapping[int, Mapping[str, tuple[int, ...]]], weights: list[Tensor]
) -> None:
    """Check the state of an optimizer that keeps counts, and tensors of its weights' shapes.

    Raises:
        ValueError: If a weight's state is incomplete or of another shape.
    """
    fresh = trainer.optimiser.state_dict()["state"]
    kept = {index for index in fresh if isinstance(index, int)}
    complete = {key for values in [*shapes.values(), *(fresh[i] for i in kept)] for key in values}
    for index in sorted({*shapes, *kept}):
        if missing := complete - shapes.get(index, {}).keys():
            raise ValueError(f"'{_OPTIMISER}{index}.{min(missing)}' is missing")
        for key, shape in shapes[index].items():
            if shape != (() if key == "step" else tuple(weights[index].shape)):
                raise ValueError(f"'{_OPTIMISER}{index}.{key}' is of shape {shape}")


def _check_group(
    group: Mapping[str, Any], saved: Mapping[str, Any], built_in: bool, steps: int
) -> None:
    """Check the options of an optimizer: most of them follow from the recipe.

    Raises:
        ValueError: If they are not those of this training.
    """
    for key, value in saved.items():
        known = group.get(key)
        if key == "step":
            _check_step(key, value, steps)
        # Those of the package pytorch_optimizer keep counts among their options.
        if key == "params" or (built_in and key not in group):
            raise ValueError(f"the optimizer has no option '{key}'")
        other = built_in and key not in _FREE_OPTIONS and value != known
        if other or isinstance(value, str) != isinstance(known if key in group else value, str):
            raise ValueError(f"the option '{key}' of the optimizer is {value!r}, not {known!r}")


def _check_placement(now: Mapping[str, Any], saved: Mapping[str, Any]) -> None:
    """Check the state of the precision; a training may go on with another precision.

    Raises:
        ValueError: If it does not hold the numbers that it should.
    """
    for key in now.keys() & saved.keys():
        values = saved[key]
        if not isinstance(values, dict) or values.keys() != now[key].keys():
            raise ValueError(f"the state of its '{key}' is not that of this training")
        if not all(isinstance(n, int | float) and math.isfinite(n) for n in values.values()):
            raise ValueError(f"the state of its '{key}' holds something else than numbers")
