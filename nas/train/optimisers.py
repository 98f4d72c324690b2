"""Optimisers by name: torch's own, and those of the package pytorch_optimizer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from nas.errors import MixnasError
from nas.train.recipe import Recipe

OWN = ("sgd", "rmsprop", "adamw")


def open_optimiser(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Return the optimiser of a recipe; weights of convolutions and linear layers decay alone.

    Raises:
        MixnasError: when there is no such optimiser.
    """
    groups: list[dict[str, Any]] = [
        {
            "params": [p for p in model.parameters() if p.ndim > 1],
            "weight_decay": recipe.weight_decay,
        },
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    kind, options = _kind(recipe)
    try:
        if recipe.sam:
            from pytorch_optimizer import SAM

            sharp: torch.optim.Optimizer = SAM(groups, kind, rho=recipe.sam, **options)
            return sharp
        plain: torch.optim.Optimizer = kind(groups, **options)
    except (TypeError, ValueError) as error:  # some of the package want what others do not
        raise MixnasError(
            f"the optimiser '{recipe.optimiser}' cannot be used here: {error}"
        ) from None
    if isinstance(plain, torch.optim.SGD) and recipe.momentum:
        for group in groups:  # the fused one wants them all, also where a step has no gradient
            for weights in group["params"]:
                plain.state[weights]["momentum_buffer"] = torch.zeros_like(weights)
    return plain


def _kind(recipe: Recipe) -> tuple[Any, dict[str, Any]]:
    rate: dict[str, Any] = {"lr": recipe.learning_rate}
    if recipe.optimiser == "sgd":
        return torch.optim.SGD, {
            **rate,
            "momentum": recipe.momentum,
            "nesterov": recipe.momentum > 0,
            "fused": True,
        }
    if recipe.optimiser == "rmsprop":
        return TensorFlowRMSprop, {**rate, "alpha": 0.9, "momentum": recipe.momentum, "eps": 1e-3}
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW, rate
    import pytorch_optimizer

    try:
        return pytorch_optimizer.load_optimizer(recipe.optimiser), rate
    except Exception:  # unknown, or of a package that is not installed
        raise MixnasError(
            f"there is no optimiser '{recipe.optimiser}'; there are {', '.join(OWN)}, and those "
            "of the package pytorch_optimizer, as ranger"
        ) from None


class TensorFlowRMSprop(torch.optim.RMSprop):
    """RMSProp as TensorFlow has it, with which MnasNet and MixNet were trained.

    The mean square starts at one, and epsilon is added inside the root: root(v + eps) in place of
    root(v) + eps.
    """

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Take one step."""
        for group in self.param_groups:
            for weights in group["params"]:
                if weights.grad is not None:
                    self._update(weights, weights.grad, group)

    def _update(self, weights: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[weights]
        if not state:
            state["step"] = torch.zeros(())  # which torch's own loading looks for
            state["square_avg"] = torch.ones_like(weights)
            state["momentum_buffer"] = torch.zeros_like(weights)
        gradient = gradient.add(weights, alpha=group["weight_decay"])
        square, velocity = state["square_avg"], state["momentum_buffer"]
        square.lerp_(gradient.square(), 1 - group["alpha"])
        step = gradient / (square + group["eps"]).sqrt()
        velocity.mul_(group["momentum"]).add_(step, alpha=group["lr"])
        weights.sub_(velocity)
