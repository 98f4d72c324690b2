"""``python -m nas.export``: write a network in the format of another tool."""

from __future__ import annotations

import json as jsonlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas import cli
from nas.errors import MixnasError, unknown
from nas.files import is_built_in, write_atomic
from nas.spec import reference_names

if TYPE_CHECKING:
    from nas.export.parity import Parity
    from nas.export.trained import TrainedModel

CHECKED_IMAGES = 16
FORMATS = {"onnx": ".onnx", "tflite": ".tflite"}

app = cli.new_app()


@app.command()
def export(
    network: Annotated[
        str,
        typer.Argument(
            help="Folder of a training run, path of a spec file, or name of a reference network."
        ),
    ],
    file_format: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help=f"File format: {', '.join(FORMATS)}.")
    ] = "onnx",
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File with trained weights, .safetensors. [those of the training run, else random "
            "weights]",
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="File to write, or a folder for it. [NAME with the format's ending, next to the "
            "spec file, or in the folder of the training run]",
        ),
    ] = None,
    lowered: Annotated[
        bool,
        typer.Option(
            "--lowered", help="Lower the network first, to an equivalent that runs faster."
        ),
    ] = False,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="DEVICE",
            help="Device whose fastest layer forms are used (with --lowered). "
            "[one convolution per layer, on any device]",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    json: Annotated[bool, typer.Option("--json", help=cli.JSON_HELP)] = False,
) -> None:
    """Export a network to the format of another tool, and check it against torch."""
    if file_format not in FORMATS:
        raise MixnasError(unknown("format", file_format, FORMATS))
    path = _path_for(network, FORMATS[file_format])
    if out is not None:
        names_folder = out.endswith(("/", os.sep)) or Path(out).is_dir()
        path = Path(out) / path.name if names_folder else Path(out)
    about = path.with_name(f"{path.name}.json")
    for file in (path, about):
        if file.exists() and not force:
            raise MixnasError(
                f"{file} already exists; choose another --out, or replace it with --force"
            )
    if not path.parent.is_dir():
        raise MixnasError(
            f"the folder {path.parent} does not exist; create it or choose another --out"
        )
    if device is not None and not lowered:
        raise MixnasError(
            f"--device {device} only has an effect with --lowered; give both or neither"
        )
    # Importing torch and ONNX Runtime is slow, so the options are checked first.
    from nas.export.trained import find_trained, images_for
    from nas.latency import open_device
    from nas.lowering import MERGE_ALL
    from nas.torch_model import build, load_weights

    found = find_trained(network, weights)
    choice = open_device(device).form_choice() if device else MERGE_ALL if lowered else None
    model = build(found.spec, seed=0)
    if found.weights is not None:
        load_weights(model, found.weights)
    images = images_for(found, CHECKED_IMAGES)
    metadata = found.metadata
    if metadata is not None and file_format == "tflite":
        metadata = metadata.channels_last()
    properties = {} if metadata is None else metadata.to_properties()
    parity = _writer(file_format)(
        model, path, choice, None if images is None else images[0], properties
    )
    shown = "random noise" if images is None else images[1]
    facts = {"file": path.name, "format": file_format, "lowered": lowered, **_checks(parity, shown)}
    known = {"spec": found.spec.to_dict()} if metadata is None else metadata.to_dict()
    write_atomic(about, jsonlib.dumps({**facts, **known}, indent=2))
    if json:
        cli.print_json({"path": str(path), "trained": found.weights is not None, **facts})
    else:
        cli.print_text(f"{path}: outputs within {parity.difference:.1e} of torch's")
        classes = "" if found.metadata is None else ", its classes and how to prepare images for it"
        cli.print_text(f"{about}: the network{classes}")
    for remark in _remarks(found):
        cli.error_console().print(remark, soft_wrap=True)


def _writer(file_format: str) -> Callable[..., Parity]:
    """Return the function that writes a format; what formats need is slow to import."""
    if file_format == "tflite":
        from nas.export.tflite_file import export_tflite

        return export_tflite
    from nas.export.onnx_file import export_onnx

    return export_onnx


def _path_for(network: str, suffix: str) -> Path:
    """Return the file to write unless another one is named."""
    path = Path(network)
    if is_built_in(network, reference_names(), "network"):
        return Path(f"{network}{suffix}")
    if path.is_dir():
        return path / f"network{suffix}"
    if path.suffix in (".yaml", ".yml", ".json"):
        return path.with_suffix(suffix)
    return path.with_name(f"{path.name}{suffix}")  # a dot in a name such as v1.2 begins no suffix


def _checks(parity: Parity, shown: str) -> dict[str, Any]:
    """Return what the file was checked for."""
    return {
        "largest_relative_difference": parity.difference,
        "checked_on": shown,
        "checked_images": parity.images,
        "same_class": parity.same_class,
    }


def _remarks(found: TrainedModel) -> list[str]:
    if found.weights is None:
        return ["note: the weights are random; use --weights FILE to export trained ones"]
    return [f"note: {remark}" for remark in found.remarks]


if __name__ == "__main__":
    cli.run(app)
