"""``python -m nas.export``: write a network in the format of another tool."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas import cli
from nas.errors import MixnasError, unknown
from nas.spec import load_network

FORMATS = {"onnx": ".onnx"}

app = cli.new_app()


@app.command()
def export(
    network: Annotated[
        str, typer.Argument(help="Name of a reference network, or path of a spec file.")
    ],
    file_format: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help=f"File format: {', '.join(FORMATS)}.")
    ] = "onnx",
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="File with trained weights, .safetensors. [random weights]"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File to write. [NAME.onnx next to the spec file]"),
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
    spec = load_network(network)
    spec_path = Path(network) if Path(network).is_file() else Path(f"{network}.yaml")
    path = out or spec_path.with_suffix(FORMATS[file_format])
    if path.exists() and not force:
        raise MixnasError(
            f"{path} already exists; choose another --out, or replace it with --force"
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
    from nas.export.onnx_file import export_onnx
    from nas.latency import open_device
    from nas.lowering import MERGE_ALL
    from nas.torch_model import build, load_weights

    choice = open_device(device).form_choice() if device else MERGE_ALL if lowered else None

    model = build(spec, seed=0)
    if weights is not None:
        load_weights(model, weights)
    difference = export_onnx(model, path, choice)
    if json:
        cli.print_json(
            {
                "path": str(path),
                "format": file_format,
                "lowered": lowered,
                "trained": weights is not None,
                "largest_relative_difference": difference,
            }
        )
        return
    print(f"{path}: outputs within {difference:.1e} of torch's")
    if weights is None:
        cli.error_console().print(
            "note: the weights are random; use --weights FILE to export trained ones"
        )


if __name__ == "__main__":
    cli.run(app)
