"""Optimizers by name: torch's, TensorFlow's RMSProp, and those of pytorch_optimizer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from nas.errors import MixnasError
from nas.train.recipe import Recipe

BUILT_IN = ("sgd", "rmsprop", "adamw")
FUSED = ("cpu", "cuda", "mps")  # devices whose optimizers update all weights with one kernel


def open_optimiser(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Return the optimizer of a recipe.

    Weight decay applies to the weights of convolutions and linear layers, but neither to biases nor
    to batch normalization.

    Raises:
        MixnasError: If the optimizer is unknown, or needs arguments that a recipe cannot give.
    """
    groups: list[dict[str, Any]] = [
        {
            "params": [p for p in model.parameters() if p.ndim > 1],
            "weight_decay": recipe.weight_decay,
        },
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    device = next(model.parameters()).device.type
    kind, options = _optimiser_class(recipe, device)
    try:
        if recipe.sam:
            from pytorch_optimizer import SAM

            with_sam: torch.optim.Optimizer = SAM(groups, kind, rho=recipe.sam, **options)
            return with_sam
        optimiser: torch.optim.Optimizer = kind(groups, **options)
    except (TypeError, ValueError) as error:  # some optimizers need further arguments
        raise MixnasError(
            f"the optimizer '{recipe.optimiser}' cannot be used with a recipe: {error}"
        ) from None
    if isinstance(optimiser, torch.optim.SGD) and recipe.momentum:
        for group in groups:  # fused SGD needs them all, even if a step leaves some gradients out
            for weights in group["params"]:
                optimiser.state[weights]["momentum_buffer"] = torch.zeros_like(weights)
    return optimiser


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
        # On the CPU the fused kernel rounds differently, and earlier runs would not resume.
        return torch.optim.AdamW, {**rate, "fused": True} if device == "cuda" else rate
    import pytorch_optimizer

    try:
        return pytorch_optimizer.load_optimizer(recipe.optimiser), rate
    except Exception:  # unknown, or in need of a package that is not installed
        raise MixnasError(
            f"unknown optimizer '{recipe.optimiser}'; allowed: {', '.join(BUILT_IN)}, and those "
            "of the package pytorch_optimizer, such as ranger"
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
