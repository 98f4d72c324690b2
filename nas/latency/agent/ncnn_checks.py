"""Checks of ncnn models: both parts are whole, and all layers are those that ncnn comes with."""

from __future__ import annotations

from nas.errors import UnrunnableError
from nas.formats.ncnn_graph import NcnnModel

MOST_LAYERS = 100_000
_LONGEST = 80  # characters of a name in a message


def check_model(model: bytes) -> None:
    """Refuse a model that is damaged, has layers of its own, or takes no images of a fixed size.

    Args:
        model: The text of the layers and the bytes of the weights, as `NcnnModel.packed`.

    Raises:
        UnrunnableError: With the reason.
        ModuleNotFoundError: If ncnn is not installed.
    """
    import ncnn

    files = NcnnModel.unpacked(model)
    layers = [line for line in files.param.split("\n")[2:] if line.strip()]
    if len(layers) > MOST_LAYERS:
        raise UnrunnableError(f"the model has {len(layers):,} layers; {MOST_LAYERS:,} are allowed")
    for kind in {line.split()[0] for line in layers}:
        if ncnn.layer_to_index(kind) < 0:
            raise UnrunnableError(
                f"the model has a layer of its own ({kind[:_LONGEST]}); the agent only runs models "
                "of built-in layers"
            )
    files.image_shape()
