"""Weights of timm's networks, for networks of the same architecture."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from nas.errors import MixnasError
from nas.torch_model.network import Network

# timm's names of the layers of a block (timm/models/_efficientnet_blocks.py) by ours. timm has
# different classes for blocks with and without an expansion.
_TIMM_EXPANDED = {
    "expand.conv": "conv_pw",
    "expand.norm": "bn1",
    "depthwise.conv": "conv_dw",
    "depthwise.norm": "bn2",
    "se.reduce": "se.conv_reduce",
    "se.expand": "se.conv_expand",
    "project.conv": "conv_pwl",
    "project.norm": "bn3",
}
_TIMM_SEPARABLE = {
    "depthwise.conv": "conv_dw",
    "depthwise.norm": "bn1",
    "se.reduce": "se.conv_reduce",
    "se.expand": "se.conv_expand",
    "project.conv": "conv_pw",
    "project.norm": "bn2",
}
_TIMM_CONV = {"conv": "conv", "norm": "bn1"}
_TIMM_STEM_AND_HEAD = {
    "stem.conv": "conv_stem",
    "stem.norm": "bn1",
    "head.conv": "conv_head",
    "head.norm": "bn2",
    "classifier": "classifier",
}


Places = Mapping[tuple[int, int], tuple[int, int]]
"""Stage and position in it of each block in timm's network, by those in ours."""


def _timm_name(model: Network, name: str, places: Places | None = None) -> str:
    """Return timm's name of one of our parameters or buffers.

    Args:
        model: Our network.
        name: Our name.
        places: Where timm has the blocks; None for where we have them.

    Raises:
        MixnasError: If timm has no such layer.
    """
    prefix, layers = "", _TIMM_STEM_AND_HEAD
    if name.startswith("stages."):
        _, stage, index, name = name.split(".", 3)
        place = (int(stage), int(index))
        prefix = "blocks.{}.{}.".format(*(place if places is None else places[place]))
        block = model.get_submodule(f"stages.{stage}.{index}")
        layers = _TIMM_CONV
        if hasattr(block, "depthwise"):
            layers = _TIMM_EXPANDED if hasattr(block, "expand") else _TIMM_SEPARABLE
    for ours, theirs in layers.items():
        if name.startswith(f"{ours}."):
            return f"{prefix}{theirs}{name[len(ours) :]}"
    raise MixnasError(
        f"timm has no counterpart of '{prefix}{name}': its weights can be loaded into networks of "
        "mbconv, dsconv and conv blocks"
    )


def timm_state_dict(model: Network, places: Places | None = None) -> dict[str, Tensor]:
    """Return the weights of a model under timm's names.

    Args:
        model: Our network.
        places: Where timm has the blocks; None for where we have them.

    Raises:
        MixnasError: If timm has no such layer.
    """
    return {_timm_name(model, name, places): t for name, t in model.state_dict().items()}


def load_timm_state_dict(model: Network, state: Mapping[str, Tensor]) -> None:
    """Load the weights of timm's network of the same architecture into a model.

    Covers the networks that timm builds from arch strings of ir, ds and cn blocks (MixNet,
    MobileNetV1 and V2, MnasNet, EfficientNet). timm's ``mixnet_*`` use symmetric padding and an
    epsilon of 1e-5 in batch normalization, ``tf_mixnet_*`` use padding ``same`` and 1e-3.

    Args:
        model: Model that receives the weights; not changed on error.
        state: timm's state dict.

    Raises:
        MixnasError: If a weight is missing, unexpected, or has another shape.
    """
    own = model.state_dict()
    names = {name: _timm_name(model, name) for name in own}
    wrong = [f"'{theirs}' is missing" for theirs in names.values() if theirs not in state]
    wrong += [f"'{name}' is unexpected" for name in sorted(set(state) - set(names.values()))]
    wrong += [
        f"'{theirs}' is {tuple(state[theirs].shape)}, expected {tuple(own[ours].shape)}"
        for ours, theirs in names.items()
        if theirs in state and state[theirs].shape != own[ours].shape
    ]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise MixnasError(
            f"the weights do not fit '{model.spec.name or 'the network'}': "
            f"{'; '.join(wrong[:3])}{more}; is it the same architecture and number of classes?"
        )
    model.load_state_dict({ours: state[theirs] for ours, theirs in names.items()})
