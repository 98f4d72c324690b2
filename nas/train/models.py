"""Networks to train, by name: a spec's file, a reference network, or one of timm's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nas.cost import count
from nas.errors import MixnasError
from nas.spec import NetworkSpec, load_network
from nas.torch_model import Network, build, load_timm_state_dict, read_weights
from nas.train.recipe import Recipe

TIMM = "timm:"


@dataclass(frozen=True)
class Model:
    """A network to train.

    Attributes:
        name: short, for folders and tables.
        module: images -> logits.
        spec: what it was built from; None for timm's.
        resolution: side of the images that it was made for, in pixels.
    """

    name: str
    module: nn.Module
    spec: NetworkSpec | None
    resolution: int

    def costs(self) -> dict[str, int]:
        """Return parameters and MAdds."""
        if self.spec is not None:
            found = count(self.spec)
            return {"params": found.params, "madds": found.madds}
        from nas.cost.fvcore import module_madds

        params = sum(weights.numel() for weights in self.module.parameters())
        shape = (3, self.resolution, self.resolution)
        try:
            return {"params": params, "madds": module_madds(self.module, shape)}
        except Exception as error:  # as of a transformer that takes one size alone
            raise MixnasError(
                f"{self.name} does not take images of {self.resolution} px: {error}"
            ) from None


def open_model(
    name: str, classes: int, recipe: Recipe, seed: int, resolution: int | None = None
) -> Model:
    """Build a network with random weights.

    Args:
        name: path of a spec, name of a reference network, or ``timm:NAME``.
        classes: that it tells apart.
        recipe: its dropout and drop path are the network's.
        seed: of the weights.
        resolution: side of the images; what the network was made for if None.

    Raises:
        MixnasError: when there is no such network.
    """
    if name.startswith(TIMM):
        return _timm_model(name.removeprefix(TIMM), classes, recipe, seed, resolution)
    spec = load_network(name).replace(num_classes=classes).at(resolution)
    if spec.input.channels != 3:
        raise MixnasError(f"{name} takes images of {spec.input.channels} channels; data has 3")
    module = build(spec, seed, recipe.dropout, recipe.drop_path)
    return Model(spec.name or Path(name).stem, module, spec, spec.input.resolution)


def _timm_model(
    name: str, classes: int, recipe: Recipe, seed: int, resolution: int | None
) -> Model:
    _check_timm(name)
    # Not every network of timm's takes them.
    wanted = {"drop_rate": recipe.dropout, "drop_path_rate": recipe.drop_path}
    drops = {key: value for key, value in wanted.items() if value}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module: Any = timm_network(name, num_classes=classes, **drops)
    made_for = int(module.pretrained_cfg.get("input_size", (3, 224, 224))[-1])
    return Model(name, module, None, resolution or made_for)


def timm_network(name: str, **options: Any) -> nn.Module:
    """Build one of timm's networks.

    Raises:
        MixnasError: when it cannot be, or its weights cannot be had.
    """
    import timm

    try:
        module: nn.Module = timm.create_model(name, **options)
    except Exception as error:  # of the network, the hub and the files, of all kinds
        raise MixnasError(f"timm cannot build '{name}': {error}") from None
    return module


def _check_timm(name: str) -> None:
    import timm

    if name.partition(".")[0] not in timm.list_models():
        near = timm.list_models(f"*{name[:6]}*")[:5]
        hint = f"; as {', '.join(near)}" if near else ""
        raise MixnasError(f"timm has no network '{name}'{hint}")


def load_start(model: Model, weights: str) -> str:
    """Give a model the weights to start from; a classifier of other classes stays as it is.

    Args:
        model: takes them.
        weights: a .safetensors file of the same network, or ``timm:NAME`` for timm's pretrained
            ones (which timm downloads).

    Returns:
        What was done, in words.

    Raises:
        MixnasError: when they cannot be read, or belong to another network.
    """
    own = model.module.state_dict()
    if weights.startswith(TIMM):
        state = _timm_weights(weights.removeprefix(TIMM), model)
    else:
        state = read_weights(Path(weights))
    other = [n for n in state if n in own and state[n].shape != own[n].shape]
    head = [name for name in other if name.startswith(_classifier(model))]
    if set(other) != set(head):
        wrong = min(set(other) - set(head))
        raise MixnasError(
            f"{weights} does not fit {model.name}: '{wrong}' is {tuple(state[wrong].shape)}, "
            f"expected {tuple(own[wrong].shape)}"
        )
    missing = sorted(set(own) - set(state)) + sorted(set(state) - set(own))
    if missing:
        raise MixnasError(f"{weights} does not fit {model.name}: '{missing[0]}' is not in both")
    model.module.load_state_dict({**state, **{name: own[name] for name in head}})
    kept = "; the classifier starts anew, since the classes are others" if head else ""
    return f"weights of {weights}{kept}"


def _classifier(model: Model) -> str:
    """Return how the names of the last layer's weights begin."""
    if model.spec is not None:
        return "classifier."
    found: str = model.module.pretrained_cfg["classifier"]  # type: ignore[assignment,index]
    return f"{found}."


def _timm_weights(name: str, model: Model) -> dict[str, Tensor]:
    _check_timm(name)
    theirs: Any = timm_network(name, pretrained=True)
    if model.spec is None:
        return dict(theirs.state_dict())
    classes = theirs.num_classes
    ours: Network = build(model.spec.replace(num_classes=classes), 0)
    load_timm_state_dict(ours, theirs.state_dict())
    return dict(ours.state_dict())
