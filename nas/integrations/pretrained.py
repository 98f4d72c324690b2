"""Trained networks as folders in the layout of the Hugging Face hub.

Such a folder holds ``config.json`` (the network and what it was trained as), ``model.safetensors``
(its weights) and ``README.md`` (a model card). Any of the hub's tools can upload and download it;
nothing here needs a connection.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save

from nas import __version__
from nas.cli import visible
from nas.cost import count
from nas.document import Document, validate
from nas.errors import DocumentError, MixnasError
from nas.files import parsing, write_atomic
from nas.formats.metadata import ModelMetadata
from nas.spec import NetworkSpec
from nas.torch_model import Network, build, load_weights, read_trained

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
CARD = "README.md"
_LIBRARY = "mixnas"
_LARGEST_CONFIG = 1 << 22  # bytes; that of the largest reference network has a hundredth


def save_pretrained(
    model: Network, folder: str | Path, metadata: ModelMetadata | None = None
) -> Path:
    """Write a network as a folder in the layout of the Hugging Face hub.

    Args:
        model: The network.
        folder: Folder to write, which may exist; its files of the same names are replaced.
        metadata: Its classes and how images are prepared; see `nas.torch_model.read_metadata`,
            which reads them from weights of ``nas.train``.

    Returns:
        The folder.

    Raises:
        MixnasError: If the metadata are those of another number of classes.
    """
    spec, folder = model.spec, Path(folder)
    if metadata is not None and len(metadata.classes) != spec.num_classes:
        raise MixnasError(
            f"the network has {spec.num_classes} classes, its metadata {len(metadata.classes)}"
        )
    config: dict[str, Any] = {
        "library_name": _LIBRARY,
        "library_version": __version__,
        "architecture": spec.name or "network",
        "num_classes": spec.num_classes,
        "spec": spec.to_dict(),
    }
    if metadata is not None:
        config |= {"label_names": list(metadata.classes), "trained_as": metadata.to_dict()}
    state = {
        name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()
    }
    properties = {"format": "pt"} | ({} if metadata is None else metadata.to_properties())
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / WEIGHTS, save(state, properties))
    write_atomic(folder / CARD, _card(spec, metadata))
    write_atomic(folder / CONFIG, json.dumps(config, indent=2, ensure_ascii=False) + "\n")
    return folder


def from_pretrained(folder: str | Path) -> Network:
    """Return a network from a folder in the layout of the Hugging Face hub, in evaluation mode.

    To use one of the hub, download it first: ``huggingface_hub.snapshot_download("owner/name")``.

    Args:
        folder: The folder, as `save_pretrained` wrote it.

    Raises:
        MixnasError: If a file is missing or damaged, or the weights are those of another network.
    """
    config = _config(Path(folder))
    spec = NetworkSpec.from_document(Document(str(Path(folder) / CONFIG), config["spec"]))
    model = build(spec, seed=0)
    load_weights(model, read_trained(Path(folder) / WEIGHTS))
    return model.eval()


def read_card(folder: str | Path) -> ModelMetadata | None:
    """Return what the network of a folder was trained as; None if the folder does not tell.

    Raises:
        MixnasError: If the folder's ``config.json`` is missing or damaged.
    """
    told = _config(Path(folder)).get("trained_as")
    if told is None:
        return None
    found: ModelMetadata = validate(ModelMetadata, Document(str(Path(folder) / CONFIG), told))
    return found


def _config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    if not path.is_file():
        raise MixnasError(
            f"{path}: no such file; give a folder that save_pretrained wrote, or that was "
            "downloaded from the hub"
        )
    with parsing(path):
        if path.stat().st_size > _LARGEST_CONFIG:
            raise MixnasError(
                f"{path}: larger than {_LARGEST_CONFIG:,} bytes, which none of ours is"
            )
        config = json.loads(path.read_text("utf-8"))
    if not isinstance(config, dict) or config.get("library_name") != _LIBRARY:
        raise DocumentError(
            f"{path}: not a network of mixnas (library_name should be '{_LIBRARY}')"
        )
    if not isinstance(config.get("spec"), dict):
        raise DocumentError(f"{path}: 'spec' is missing or no mapping")
    return config


def _card(spec: NetworkSpec, metadata: ModelMetadata | None) -> str:
    """Return the model card: front matter that the hub reads, and what people need."""
    cost, name = count(spec), spec.name or "network"
    lines = [
        "---",
        f"library_name: {_LIBRARY}",
        "pipeline_tag: image-classification",
        "tags:",
        "- image-classification",
        "- neural-architecture-search",
        "---",
        "",
        f"# {name}",
        "",
        f"An image classifier with {cost.params / 1e6:.2f}M parameters and "
        f"{cost.madds / 1e6:.0f}M multiply-adds at {spec.input.resolution} px.",
        "",
        "```python",
        "from nas.integrations import from_pretrained, read_card",
        "",
        'model = from_pretrained("path/of/this/folder")',
        'card = read_card("path/of/this/folder")  # its classes, and how images are prepared',
        "```",
    ]
    if metadata is not None:
        prepared = metadata.preprocessing
        mean, std = (", ".join(f"{x:.4f}" for x in v) for v in (prepared.mean, prepared.std))
        lines += [
            "",
            f"Images: {prepared.crop}, {prepared.resolution} px, {prepared.interpolation}; "
            f"{prepared.pixels}; mean ({mean}), std ({std}).",
            "",
            f"Classes, in the order of the outputs: {visible(', '.join(metadata.classes))}.",
        ]
    return "\n".join(lines) + "\n"
