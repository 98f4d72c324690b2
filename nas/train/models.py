"""Networks to train, by name: the file of a spec, a reference network, or one of timm's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from nas import __version__
from nas.blocks.fields import ActivationName
from nas.cost import count
from nas.data import DataSource, FolderData
from nas.document import document_name
from nas.errors import MixnasError
from nas.formats.metadata import (
    CENTRAL_SQUARE,
    INTERPOLATION,
    WHOLE_IMAGE,
    ModelMetadata,
    Preprocessing,
)
from nas.named import TIMM, classifier_layers, is_timm, open_timm, timm_module
from nas.spec import NetworkSpec, load_network
from nas.torch_model import (
    Network,
    TrainedWeights,
    build,
    is_of_classifier,
    load_timm_state_dict,
    timm_state_dict,
)
from nas.train.recipe import Recipe


@dataclass(frozen=True)
class Model:
    """A network to train.

    Attributes:
        name: Short name, for folders and tables.
        module: Network: images (N, 3, H, W) -> logits (N, classes).
        spec: Spec that the network was built from; None for timm's networks.
        resolution: Side of the images that the network is made for, in pixels.
    """

    name: str
    module: nn.Module
    spec: NetworkSpec | None
    resolution: int

    def costs(self) -> dict[str, int]:
        """Return the numbers of parameters and MAdds."""
        if self.spec is not None:
            cost = count(self.spec)
            return {"params": cost.params, "madds": cost.madds}
        from nas.cost.fvcore import module_costs

        return module_costs(self.module, (3, self.resolution, self.resolution))


def open_model(
    name: str,
    classes: int,
    recipe: Recipe,
    seed: int,
    resolution: int | None = None,
    activation: ActivationName | None = None,
) -> Model:
    """Build a network with random weights.

    Args:
        name: Path of a spec, name of a reference network, or ``timm:NAME``.
        classes: Number of classes.
        recipe: Recipe that gives dropout and drop path.
        seed: Random seed of the weights.
        resolution: Side of the images, in pixels; None for what the network was made for.
        activation: Activation function in place of the network's own; None for these.

    Raises:
        MixnasError: If there is no such network, it does not take color images of that size, or it
            has no spec in which activation functions could be replaced.
    """
    if is_timm(name):
        if activation is not None:
            raise MixnasError(
                f"the activation functions of {name} cannot be replaced; --activation needs a "
                "reference network or the path of a spec"
            )
        return _timm_model(name, classes, recipe, seed, resolution)
    spec = load_network(name).replace(num_classes=classes).at(resolution)
    if spec.input.channels != 3:
        raise MixnasError(
            f"{name} takes images of {spec.input.channels} channels; the data has 3, so choose a "
            "network with 3 input channels"
        )
    if activation is not None:
        spec = spec.with_activation(activation)
    module = build(spec, seed, recipe.dropout, recipe.drop_path)
    return Model(spec.name or document_name(name), module, spec, spec.input.resolution)


def _timm_model(
    name: str, classes: int, recipe: Recipe, seed: int, resolution: int | None
) -> Model:
    network = open_timm(name, classes, resolution)
    module = network.build(seed, recipe.dropout, recipe.drop_path)
    return Model(network.timm_name, module, None, network.resolution)


def load_initial_weights(
    model: Model, weights: TrainedWeights, classes: Sequence[str] | None = None
) -> str:
    """Give a model the weights to start from.

    A classifier keeps its random weights if its classes are others than those of the weights, as
    far as these are known. If only their order differs, the classifier is brought into the new one.

    Args:
        model: Model that receives the weights.
        weights: Weights of the same network.
        classes: Names of the model's classes, in the order of its outputs; None if not known.

    Returns:
        A sentence for the user that says which weights were loaded.

    Raises:
        MixnasError: If the weights belong to another network.
    """
    own = model.module.state_dict()
    state, metadata = dict(weights.tensors), weights.metadata
    other_shape = {n for n in state if n in own and state[n].shape != own[n].shape}
    head = set(_classifier(model, other_shape)) if other_shape else set()
    if other_shape != head:
        wrong = min(other_shape - head)
        raise MixnasError(
            f"{weights.source} does not fit {model.name}: '{wrong}' is "
            f"{tuple(state[wrong].shape)}, expected {tuple(own[wrong].shape)}"
        )
    missing, unexpected = sorted(set(own) - set(state)), sorted(set(state) - set(own))
    if missing:
        raise MixnasError(f"{weights.source} does not fit {model.name}: '{missing[0]}' is missing")
    if unexpected:
        raise MixnasError(
            f"{weights.source} does not fit {model.name}: the network has no weights "
            f"'{unexpected[0]}'"
        )
    known = None if metadata is None or classes is None else metadata.classes
    said = ""
    if head or (known is not None and sorted(known) != sorted(classes or ())):
        said = "; the classifier starts from random weights: its classes differ"
        state |= {name: own[name] for name in _classifier(model, own)}
    elif known is not None and classes is not None and list(known) != list(classes):
        said = "; its classes were brought into the order of this data set"
        rows = [known.index(name) for name in classes]
        state |= {name: state[name][rows] for name in _classifier(model, own)}
    model.module.load_state_dict(state)
    return f"loaded the weights of {weights.source}{said}"


def compare_metadata(weights: TrainedWeights, model: Model, own: ModelMetadata) -> list[str]:
    """Return remarks on how weights to start from were trained differently.

    Args:
        weights: As for `load_initial_weights`.
        model: Model that has received them.
        own: What the model is trained as.
    """
    remarks = []
    theirs = weights.metadata
    network = None if theirs is None else theirs.network()
    if network is not None and model.spec is not None:
        same = network.replace(input=model.spec.input, num_classes=model.spec.num_classes)
        if same != model.spec:
            remarks.append(
                f"the weights of {weights.source} were trained in another network, "
                f"'{network.name}', whose layers have the same shapes"
            )
    if theirs is not None and _may_have_seen_test(theirs, own):
        remarks.append(
            f"{weights.source} was trained on {theirs.data}, which had the same classes as "
            f"{own.data}, but other test images: if some images are in both, what is tested on "
            "may have been trained on"
        )
    prepared = weights.preprocessing
    differences = [] if prepared is None else prepared.differences(own.preprocessing)
    if differences:
        remarks.append(f"unlike for the weights of {weights.source}: {'; '.join(differences)}")
    return remarks


def _may_have_seen_test(theirs: ModelMetadata, own: ModelMetadata) -> bool:
    """Tell whether images that are tested on now may have been trained on.

    Names say nothing: a data set may be moved, or changed in its place. Images that were for the
    test then were not trained on, and other classes are another data set.
    """
    known, now = theirs.test_fingerprint, own.test_fingerprint
    if not known:  # weights of an earlier version
        known, now = theirs.data_fingerprint, own.data_fingerprint
    return bool(known) and known != now and set(theirs.classes) == set(own.classes)


def _classifier(model: Model, names: Iterable[str]) -> list[str]:
    """Return those names of weights that are of the classifier."""
    if model.spec is not None:
        return [name for name in names if is_of_classifier(name)]
    layers = tuple(f"{layer}." for layer in classifier_layers(model.module))
    return [name for name in names if name.startswith(layers)]


def timm_weights(name: str, spec: NetworkSpec | None) -> TrainedWeights:
    """Return timm's pretrained weights, which timm downloads.

    Args:
        name: ``timm:NAME``.
        spec: The same network as a spec, whose names of weights are used; None for timm's own.

    Raises:
        MixnasError: If timm has no such network, it is another one than the spec, or its weights
            cannot be loaded into networks of such blocks.
    """
    if spec is not None:
        timm_state_dict(build(spec, 0))  # refuses other blocks before anything is downloaded
    theirs: Any = timm_module(name.removeprefix(TIMM), pretrained=True)
    prepared = _preprocessing(getattr(theirs, "pretrained_cfg", None) or {})
    if spec is None:
        return TrainedWeights(name, dict(theirs.state_dict()), prepared=prepared)
    ours: Network = build(spec.replace(num_classes=theirs.num_classes), 0)
    load_timm_state_dict(ours, theirs.state_dict())
    return TrainedWeights(name, dict(ours.state_dict()), prepared=prepared)


def _preprocessing(told: Mapping[str, Any]) -> Preprocessing | None:
    """Return how images were prepared, from timm's configuration of weights; None if unknown."""
    if not {"input_size", "mean", "std"} <= told.keys():
        return None
    share = told.get("crop_pct") or 1.0
    return Preprocessing(
        resolution=told["input_size"][-1],
        mean=told["mean"],
        std=told["std"],
        crop=CENTRAL_SQUARE + ("" if share == 1 else f", {share:.1%} of its side"),
        interpolation=told.get("interpolation") or INTERPOLATION,
    )


def metadata_of(
    data: DataSource,
    fingerprint: str,
    name: str,
    spec: NetworkSpec | None,
    resolution: int,
    statistics: tuple[Tensor, Tensor],
    command: str,
) -> ModelMetadata:
    """Return what travels with trained weights.

    Args:
        data: Data set of the training.
        fingerprint: Fingerprint of its images and their split.
        name: Name or path of it, as the user gives it.
        spec: The network; None for one of timm's.
        resolution: Side of the images, in pixels.
        statistics: Mean and standard deviation by which images are normalized, 3 values each.
        command: Command line of the training.
    """
    mean, std = (statistic.flatten().tolist() for statistic in statistics)
    return ModelMetadata(
        classes=tuple(data.classes),
        preprocessing=Preprocessing(
            resolution=resolution,
            mean=(mean[0], mean[1], mean[2]),
            std=(std[0], std[1], std[2]),
            crop=CENTRAL_SQUARE if isinstance(data, FolderData) else WHOLE_IMAGE,
        ),
        data=name,
        data_fingerprint=fingerprint,
        test_fingerprint=data.test_fingerprint(),
        command=command,
        spec=None if spec is None else spec.to_dict(),
        version=__version__,
    )
