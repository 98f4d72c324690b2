"""Optimizers by name: torch's, TensorFlow's RMSProp, Ranger, and those of pytorch_optimizer."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from nas.errors import MixnasError
from nas.train.recipe import Recipe

BUILT_IN = ("sgd", "rmsprop", "adamw", "ranger")
FUSED = ("cpu", "cuda", "mps")  # devices whose optimizers update all weights with one kernel
_GROUP = "group"  # prefix of the names of tensors that belong to all weights of a group


def open_optimiser(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Return the optimizer of a recipe.

    Weight decay applies to the weights of convolutions and linear layers, but neither to biases nor
    to batch normalization. An optimizer that cannot update weights in the channels-last format gets
    contiguous ones.

    Raises:
        MixnasError: If the optimizer is unknown, needs arguments that a recipe cannot give, or has
            state that cannot be saved.
    """
    kind, options = _optimiser_class(recipe, next(model.parameters()).device.type)
    try:
        if recipe.optimiser not in BUILT_IN:
            _rehearse(model, recipe, kind, options)
        if recipe.sam:
            from pytorch_optimizer import SAM

            groups = _groups(model.parameters(), recipe)
            with_sam: torch.optim.Optimizer = SAM(groups, kind, rho=recipe.sam, **options)
            return with_sam
        optimiser: torch.optim.Optimizer = kind(_groups(model.parameters(), recipe), **options)
    except MixnasError:
        raise
    except Exception as error:  # the package raises all kinds
        raise MixnasError(
            f"the optimizer '{recipe.optimiser}' cannot be used with a recipe: {error}"
        ) from None
    if isinstance(optimiser, torch.optim.SGD) and recipe.momentum:
        for group in optimiser.param_groups:  # fused SGD needs all of them, even if a step
            for weights in group["params"]:  # leaves some gradients out
                optimiser.state[weights]["momentum_buffer"] = torch.zeros_like(weights)
    return optimiser


def _groups(weights: Iterable[Tensor], recipe: Recipe) -> list[dict[str, Any]]:
    """Return the groups of weights that decay and that do not."""
    weights = list(weights)
    return [
        {"params": [w for w in weights if w.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [w for w in weights if w.ndim <= 1], "weight_decay": 0.0},
    ]


def _rehearse(model: nn.Module, recipe: Recipe, kind: Any, options: dict[str, Any]) -> None:
    """Try an optimizer of the package on copies of the weights, before anything is trained.

    Raises:
        MixnasError: If a training with it could not be resumed.
        Exception: If it cannot be used; the package raises all kinds.
    """
    try:
        _try_out(list(model.parameters()), recipe, kind, options)
    except RuntimeError as error:
        if "view" not in str(error):
            raise
        for weight in model.parameters():  # some optimizers flatten them with `view`
            weight.data = weight.data.contiguous()
        _try_out(list(model.parameters()), recipe, kind, options)


def _try_out(weights: list[Tensor], recipe: Recipe, kind: Any, options: dict[str, Any]) -> None:
    """Take some steps, save and restore the state as a checkpoint does, and compare further steps.

    Raises:
        MixnasError: If the state cannot be saved, or the training continues differently.
    """

    def begin(values: list[Tensor]) -> tuple[list[Tensor], torch.optim.Optimizer]:
        copies = [value.detach().clone().requires_grad_() for value in values]
        return copies, kind(_groups(copies, recipe), **options)

    def take_steps(copies: list[Tensor], optimiser: torch.optim.Optimizer, numbers: range) -> None:
        for number in numbers:
            torch.manual_seed(number)
            for copy in copies:
                copy.grad = torch.empty_like(copy).copy_(torch.randn(copy.shape))
            optimiser.step()

    with torch.random.fork_rng(devices=[]):
        # In main memory, whatever the device of the weights; only their layout matters.
        like = [torch.empty_like(weight, device="cpu") for weight in weights]
        whole, optimiser = begin([value.copy_(torch.randn(value.shape)) for value in like])
        take_steps(whole, optimiser, range(3))
        tensors, values = optimiser_state(optimiser, recipe.optimiser)
        _refuse_large_state(optimiser, tensors, recipe.optimiser)
        kept = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
        resumed, restored = begin(whole)
        restore_optimiser(restored, kept, values)
        for pair in ((whole, optimiser), (resumed, restored)):
            take_steps(*pair, range(3, 6))
    if not all(map(torch.equal, whole, resumed)):
        raise MixnasError(
            f"the optimizer '{recipe.optimiser}' keeps state that cannot be saved, so a training "
            "could not be resumed; choose another optimizer"
        )


def _refuse_large_state(
    optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor], name: str
) -> None:
    """Refuse preconditioners: checkpoints hold no tensors larger than the weight they belong to.

    Their decompositions also depend on the layout in memory, which a checkpoint does not keep.

    Raises:
        MixnasError: If there is such a tensor.
    """
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    for key, tensor in tensors.items():
        index, _, what = key.partition(".")
        if index.isdecimal() and tensor.numel() > max(1, weights[int(index)].numel()):
            raise _cannot_be_saved(name, f"'{what}' is larger than its weight")


# -- the state of an optimizer ------------------------------------------------------------------


def optimiser_state(
    optimiser: torch.optim.Optimizer, name: str
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the state of an optimizer: its tensors and its plain values.

    The names of tensors begin with the number of the weight, or of the group, that they belong to.

    Args:
        optimiser: The optimizer.
        name: Its name, for the message.

    Raises:
        MixnasError: If it has state that is neither a tensor nor a number of a single weight.
    """
    state = optimiser.state_dict()
    tensors: dict[str, Tensor] = {}
    plain: dict[str, dict[str, Any]] = {}
    for index, values in state["state"].items():
        if not isinstance(index, int) or not isinstance(values, dict):
            raise _cannot_be_saved(name, f"'{index}' is not of a single weight")
        for key, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"{index}.{key}"] = value
            elif isinstance(value, int | float):
                plain.setdefault(str(index), {})[key] = value
            elif value is not None:
                raise _cannot_be_saved(name, f"'{key}' is not a tensor")
    for number, group in enumerate(state["param_groups"]):
        shared = {key: v.clone() for key, v in group.items() if isinstance(v, Tensor)}
        tensors |= {f"{_GROUP}{number}.{key}": value for key, value in shared.items()}
    return tensors, {
        "optimiser": plain,
        "groups": [_plain_values(group) for group in state["param_groups"]],
    }


def _cannot_be_saved(name: str, why: str) -> MixnasError:
    return MixnasError(
        f"the state of the optimizer '{name}' cannot be saved ({why}); choose another optimizer"
    )


def _plain_values(group: dict[str, Any]) -> dict[str, Any]:
    """Return the options that a checkpoint holds; infinite ones are constants of an optimizer."""
    plain = {k: v for k, v in group.items() if isinstance(v, int | float | str)}
    return {k: v for k, v in plain.items() if isinstance(v, str) or math.isfinite(v)}


def restore_optimiser(
    optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor], values: dict[str, Any]
) -> None:
    """Bring a new optimizer to a state that `optimiser_state` returned.

    Raises:
        KeyError, ValueError, IndexError: If the state is not one of this optimizer.
    """
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    fresh = optimiser.state_dict()["param_groups"]
    groups = [{**new, **saved} for new, saved in zip(fresh, values["groups"], strict=True)]
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        if index.startswith(_GROUP):
            groups[int(index.removeprefix(_GROUP))][key] = tensor
            continue
        state.setdefault(int(index), {})[key] = _laid_out_as(weights[int(index)], tensor)
    for index, plain in values["optimiser"].items():
        state.setdefault(int(index), {}).update(plain)
    optimiser.load_state_dict({"state": state, "param_groups": groups})


def _laid_out_as(weight: Tensor, tensor: Tensor) -> Tensor:
    """Give a tensor the memory format of its weight, as fused optimizers require."""
    same = tensor.shape == weight.shape
    return torch.empty_like(weight, dtype=tensor.dtype).copy_(tensor) if same else tensor


# -- the classes --------------------------------------------------------------------------------


def _optimiser_class(recipe: Recipe, device: str) -> tuple[Any, dict[str, Any]]:
    """Return the class of a recipe's optimizer and its arguments.

    Args:
        recipe: Recipe that names the optimizer.
        device: Kind of the device of the weights.
    """
    rate: dict[str, Any] = {"lr": recipe.learning_rate}
    if recipe.optimiser == "sgd":
        return torch.optim.SGD, {
            **rate,
            "momentum": recipe.momentum,
            "nesterov": recipe.momentum > 0,
            "fused": device in FUSED,
        }
    if recipe.optimiser == "rmsprop":
        return TensorFlowRMSprop, {**rate, "alpha": 0.9, "momentum": recipe.momentum, "eps": 1e-3}
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW, {**rate, "fused": device in FUSED}
    if recipe.optimiser == "ranger":
        return Ranger, {
            **rate,
            "betas": (0.95, 0.999),
            "eps": 1e-5,
            "decoupled_weight_decay": True,
        }
    import pytorch_optimizer

    try:
        return pytorch_optimizer.load_optimizer(recipe.optimiser), rate
    except Exception:  # unknown, or in need of a package that is not installed
        raise MixnasError(
            f"unknown optimizer '{recipe.optimiser}'; allowed: {', '.join(BUILT_IN)}, and those "
            "of the package pytorch_optimizer, such as lion"
        ) from None


class TensorFlowRMSprop(torch.optim.RMSprop):
    """TensorFlow's RMSProp, with which MnasNet and MixNet were trained.

    Unlike torch's, the mean square v starts at one, and epsilon is added inside the square root:
    sqrt(v + eps) instead of sqrt(v) + eps.
    """

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Take one step, with the same few kernels for all weights of a group."""
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if weights:
                self._update(weights, [weight.grad for weight in weights], group)

    def _update(
        self, weights: list[Tensor], gradients: list[Tensor], group: dict[str, Any]
    ) -> None:
        states = [self._state_of(weight) for weight in weights]
        squares = [state["square_avg"] for state in states]
        velocities = [state["momentum_buffer"] for state in states]
        decayed = torch._foreach_add(gradients, weights, alpha=group["weight_decay"])
        torch._foreach_lerp_(squares, torch._foreach_mul(decayed, decayed), 1 - group["alpha"])
        scales = torch._foreach_sqrt(torch._foreach_add(squares, group["eps"]))
        steps = torch._foreach_div(decayed, scales)
        torch._foreach_mul_(velocities, group["momentum"])
        torch._foreach_add_(velocities, steps, alpha=group["lr"])
        torch._foreach_sub_(weights, velocities)

    def _state_of(self, weight: Tensor) -> dict[str, Any]:
        state: dict[str, Any] = self.state[weight]
        if not state:
            state["step"] = torch.zeros(())  # torch's load_state_dict expects it
            state["square_avg"] = torch.ones_like(weight)
            state["momentum_buffer"] = torch.zeros_like(weight)
        return state


class Ranger(torch.optim.RAdam):
    """RAdam (Liu et al. 2020) with Lookahead (Zhang et al. 2019), as Wright (2019) combined them.

    Lookahead keeps a second, slow set of weights. After every `SYNC_STEPS` steps these move towards
    the weights by the share `SLOW_STEP`, and the weights go on from there. In between, the weights
    are evaluated as they are, as in Wright's code.

    The optimizer of this name in the package pytorch_optimizer (version 4.1) takes its first five
    steps, which RAdam does not rectify, uphill.
    """

    SYNC_STEPS = 6
    SLOW_STEP = 0.5

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Take one step, and bring weights and slow weights together if it is time."""
        starting = {
            weight: weight.detach().clone(memory_format=torch.preserve_format)
            for group in self.param_groups
            for weight in group["params"]
            if weight.grad is not None and not self.state[weight]
        }
        loss = super().step(closure)
        for weight, value in starting.items():
            self.state[weight]["slow"] = value
        met = [
            weight
            for weight, state in self.state.items()
            if state and weight.grad is not None and int(state["step"]) % self.SYNC_STEPS == 0
        ]
        if met:
            slow = [self.state[weight]["slow"] for weight in met]
            torch._foreach_lerp_(slow, met, self.SLOW_STEP)
            torch._foreach_copy_(met, slow)
        return loss


@torch.no_grad()
def centralise(weights: Iterable[Tensor]) -> None:
    """Subtract from each gradient its mean per output channel (Yong et al. 2020, equation 1).

    The gradients of biases and normalizations, which have one number per channel, stay.
    """
    for weight in weights:
        if weight.grad is not None and weight.ndim > 1:
            mean = weight.grad.mean(dim=tuple(range(1, weight.ndim)), keepdim=True)
            weight.grad.sub_(mean)
