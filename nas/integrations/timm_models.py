"""Networks of ours as models of timm, and as backbones for detection and segmentation.

    from nas.integrations import timm_models

    timm_models.register()
    timm.create_model("mixnas", spec="best.yaml", weights="weights.safetensors")
    timm.create_model("mixnas", spec="best.yaml", features_only=True)

timm finds models by name among those that were registered with it; it looks for none in other
packages, so that `register` has to be called once in every process.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nas.errors import MixnasError
from nas.ir import Linear, walk
from nas.spec import NetworkSpec, load_network
from nas.torch_model import Network, load_weights, read_trained, to_module

_HEAD = ("pool", "hidden", "classifier")  # what no longer gives maps


class TimmStyleNetwork(Network):
    """A network with what timm's tools expect of a model: images (N, C, H, W) -> logits."""

    num_features: int
    head_hidden_size: int

    def __init__(
        self,
        spec: NetworkSpec,
        dropout: float = 0.0,
        drop_path: float = 0.0,
        weights: str | Path | None = None,
    ) -> None:
        """Build the network.

        Args:
            spec: The network.
            dropout: See `Network`.
            drop_path: See `Network`.
            weights: Its weights, a safetensors file; None for random ones.
        """
        super().__init__(spec, dropout, drop_path)
        self._dropout = dropout
        if weights is not None:
            load_weights(self, read_trained(Path(weights)))
        self.num_classes = spec.num_classes
        self.num_features = _channels_of_features(spec)
        self.head_hidden_size = _inputs_of_classifier(spec)

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the maps that the head pools: (N, features, H / 32, W / 32) in most networks."""
        x = self.stem(x)
        for block in self.blocks():
            x = block(x)
        for name in self._before_pool():
            x = getattr(self, name)(x)
        return x

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Return the logits of maps; with `pre_logits`, the inputs of the classifier."""
        for name in self._tail[len(self._before_pool()) :]:
            if name == "classifier" and pre_logits:
                break
            x = getattr(self, name)(x)
        return x.flatten(1) if pre_logits else x

    def get_classifier(self) -> nn.Module:
        """Return the classifier."""
        return self.classifier

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the classifier by a new one; with no classes, the features are returned.

        Raises:
            MixnasError: If the classifier is no linear layer, or another pooling is asked for.
        """
        if global_pool not in (None, "", "avg"):
            raise MixnasError(f"the pooling of a network is its own; found '{global_pool}'")
        if not self.head_hidden_size:
            raise MixnasError("the classifier of this network is a convolution, which stays")
        new = Linear(self.head_hidden_size, num_classes)
        self.classifier = to_module(new, self._dropout) if num_classes else nn.Flatten()
        self.num_classes = num_classes

    def _before_pool(self) -> list[str]:
        return list(itertools.takewhile(lambda name: name not in _HEAD, self._tail))


class Backbone(nn.Module):
    """The stem and the blocks of a network: images -> maps, one for each of several reductions.

    Attributes:
        feature_info: timm's description of the maps: channels and reduction of each.
    """

    def __init__(
        self, network: TimmStyleNetwork, out_indices: Sequence[int] | int | None = None
    ) -> None:
        """Take a network's stem and blocks.

        Args:
            network: The network.
            out_indices: Which maps are returned, by their place among all that the network has,
                from large to small; a number for so many of the last; None for all.

        Raises:
            MixnasError: If there is no such map.
        """
        super().__init__()
        from timm.models import FeatureInfo

        maps = maps_of(network.spec)
        wanted = range(-out_indices, 0) if isinstance(out_indices, int) else out_indices
        chosen = tuple(range(len(maps)) if wanted is None else wanted)
        if not chosen or not all(-len(maps) <= index < len(maps) for index in chosen):
            raise MixnasError(
                f"out_indices {list(chosen)}: the network has {len(maps)} maps, with reductions "
                f"{', '.join(str(one['reduction']) for one in maps)}"
            )
        self.feature_info = FeatureInfo(maps, chosen)
        self._after = [maps[index]["place"] for index in chosen]
        # What comes after the last map that is asked for is left out.
        parts = [network.stem, *network.blocks()]
        self.parts = nn.ModuleList(parts[: max(self._after) + 1])

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the maps, in the order of the indices."""
        found: dict[int, Tensor] = {}
        for place, part in enumerate(self.parts):
            x = part(x)
            if place in self._after:
                found[place] = x
        return [found[place] for place in self._after]


def maps_of(spec: NetworkSpec) -> list[dict[str, Any]]:
    """Return the last map of every reduction that a network has, from large to small.

    Returns:
        For each, its channels (``num_chs``), its reduction, its module, and its place among the
        stem (0) and the blocks (from 1).
    """
    with torch.device("meta"):
        network = Network(spec).eval()
        x = torch.empty(1, *spec.in_shape)
    parts = [("stem", network.stem), *_named_blocks(network)]
    found: dict[int, dict[str, Any]] = {}
    with torch.no_grad():
        for place, (name, part) in enumerate(parts):
            x = part(x)
            reduction = round(spec.in_shape[1] / x.shape[2])
            found[reduction] = {
                "num_chs": x.shape[1], "reduction": reduction, "module": name,
                "place": place,
            }  # fmt: skip
    return list(found.values())


def _named_blocks(network: Network) -> list[tuple[str, nn.Module]]:
    return [
        (f"stages.{stage}.{index}", block)
        for stage, blocks in network.stages.named_children()
        for index, block in blocks.named_children()
    ]


def _channels_of_features(spec: NetworkSpec) -> int:
    layers = walk(spec.tree(), spec.in_shape)
    return next(layer.in_shape[0] for layer in layers if layer.path.split(".")[0] in _HEAD)


def _inputs_of_classifier(spec: NetworkSpec) -> int:
    classifier = dict(spec.tree().children)["classifier"]
    return classifier.in_features if isinstance(classifier, Linear) else 0


def register() -> None:
    """Register the model with timm, under the name ``mixnas``; once is enough."""
    from timm.models import is_model, register_model

    if not is_model(mixnas.__name__):
        register_model(mixnas)


def mixnas(
    pretrained: bool = False,
    *,
    spec: str | Path | NetworkSpec | None = None,
    weights: str | Path | None = None,
    num_classes: int | None = None,
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    features_only: bool = False,
    out_indices: Sequence[int] | int | None = None,
    **others: Any,
) -> nn.Module:
    """Build a network for ``timm.create_model``.

    Args:
        pretrained: Must be False: the weights are named by `weights`.
        spec: The network: a spec, the path of its file, or the name of a reference network.
        weights: Its weights, a safetensors file; None for random ones.
        num_classes: Number of classes, if not the spec's; the classifier is new, then.
        drop_rate: Dropout probability before the classifier, in training.
        drop_path_rate: Scale of stochastic depth, in training.
        features_only: Whether to return the `Backbone`, which gives maps instead of logits.
        out_indices: Which maps; see `Backbone`.
        **others: What timm passes to all models; anything that is set is refused.

    Raises:
        MixnasError: If an option is missing or has no meaning here, or the network is not valid.
    """
    if spec is None:
        raise MixnasError('the network is missing; give create_model("mixnas", spec="best.yaml")')
    if pretrained:
        raise MixnasError("pretrained=True downloads nothing here; name the file with weights=")
    unknown = sorted(name for name, value in others.items() if value is not None)
    if unknown:
        raise MixnasError(f"{', '.join(unknown)}: no option of a network of mixnas; leave it out")
    found = spec if isinstance(spec, NetworkSpec) else load_network(str(spec))
    model = TimmStyleNetwork(found, drop_rate, drop_path_rate, weights)
    if features_only:
        return Backbone(model, out_indices)
    if num_classes is not None and num_classes != found.num_classes:
        model.reset_classifier(num_classes)
    return model
