"""The one place that opens whatever network a user names."""

from __future__ import annotations

from nas.document import parse_document
from nas.named.timm_network import TimmNetwork, is_timm, open_timm
from nas.spec import NetworkSpec, load_network

AnyNetwork = NetworkSpec | TimmNetwork
"""A network that can be counted, measured and trained."""


def open_network(
    name: str, classes: int | None = None, resolution: int | None = None
) -> AnyNetwork:
    """Return the network of a name.

    Args:
        name: Path of a spec, name of a reference network, or ``timm:NAME``.
        classes: Number of classes; None for the network's own.
        resolution: Side of the images, in pixels; None for what the network is made for.

    Raises:
        MixnasError: If there is no such network, or it does not accept the classes or resolution.
    """
    if is_timm(name):
        return open_timm(name, classes, resolution)
    spec = load_network(name).at(resolution)
    return spec if classes is None else spec.replace(num_classes=classes)


def network_from_yaml(text: str) -> AnyNetwork:
    """Return the network that ``to_yaml`` of a spec or of a `TimmNetwork` wrote.

    Raises:
        DocumentError: If the text is not valid.
    """
    data = parse_document(text, "<network>").data
    if isinstance(data, dict) and "timm" in data:
        return TimmNetwork(str(data["timm"]), int(data["num_classes"]), int(data["resolution"]))
    return NetworkSpec.from_yaml(text)
