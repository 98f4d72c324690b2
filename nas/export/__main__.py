"""``python -m nas.export``: write a network for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas import cli
from nas.errors import MixnasError, unknown
from nas.spec import load_network

FORMATS = {"onnx": ".onnx"}

app = cli.new_app("Write a network for other tools, checked against torch.")


@app.command()
def export(
    network: Annotated[str, typer.Argument(help="Reference name, or path of a spec file.")],
    form: Annotated[str, typer.Option("--format", help="onnx.")] = "onnx",
    weights: Annotated[
        Path | None, typer.Option(help="Trained weights (.safetensors); random ones if none.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File to write. [NAME.onnx beside the spec]")
    ] = None,
    lowered: Annotated[
        bool, typer.Option("--lowered", help="Write the deployed form, equal and faster.")
    ] = False,
    device: Annotated[
        str | None,
        typer.Option(help="Lower to the forms that are fastest on it. [one convolution always]"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    json: Annotated[bool, typer.Option("--json", help=cli.JSON_HELP)] = False,
) -> None:
    """Export one network."""
    if form not in FORMATS:
        raise MixnasError(unknown("format", form, FORMATS))
    spec = load_network(network)
    beside = Path(network) if Path(network).is_file() else Path(f"{network}.yaml")
    path = out or beside.with_suffix(FORMATS[form])
    if path.exists() and not force:
        raise MixnasError(f"{path} exists; choose another --out, or give --force")
    if not path.parent.is_dir():
        raise MixnasError(f"{path.parent} is no folder; make it first")
    if device is not None and not lowered:
        raise MixnasError(f"--device {device} says how to lower; give --lowered with it")
    # Torch and ONNX Runtime are imported once the options are known to be good.
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
                "format": form,
                "lowered": lowered,
                "trained": weights is not None,
                "largest_relative_difference": difference,
            }
        )
        return
    print(f"{path}: outputs within {difference:.1e} of torch's")
    if weights is None:
        cli.error_console().print("note: the weights are random; give trained ones by --weights")


if __name__ == "__main__":
    cli.run(app)
