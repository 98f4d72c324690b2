"""``python -m nas.cost``: print the exact costs of networks."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from nas import cli
from nas.cost import CONVENTION, count, count_leaf
from nas.errors import MixnasError
from nas.ir import Layer, walk
from nas.spec import NetworkSpec, load_network, reference_names
from nas.units import format_count

app = cli.new_app()


@app.command()
def cost(
    networks: Annotated[
        list[str] | None,
        typer.Argument(
            help="Names of reference networks or paths of spec files. [all reference networks]"
        ),
    ] = None,
    resolution: Annotated[
        int | None, typer.Option(metavar="PIXELS", help="Input resolution in pixels. [the spec's]")
    ] = None,
    classes: Annotated[
        int | None, typer.Option(metavar="N", help="Number of output classes. [the spec's]")
    ] = None,
    layers: Annotated[
        bool, typer.Option("--layers", help="Also print a table with one row per layer.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Verify the MAdds against fvcore's count (needs torch).")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help=cli.JSON_HELP)] = False,
) -> None:
    """Print the exact parameters, MAdds, activations and peak memory of networks."""
    specs = [
        _adjusted(load_network(name), resolution, classes) for name in networks or reference_names()
    ]
    rows: list[dict[str, Any]] = []
    for spec in specs:
        row: dict[str, Any] = {
            "name": spec.name,
            "resolution": spec.input.resolution,
            **dataclasses.asdict(count(spec)),
        }
        if check:
            row["fvcore_madds"] = _verified_madds(spec)
        if layers:
            row["layers"] = [_layer(layer) for layer in walk(spec.tree(), spec.in_shape)]
        rows.append(row)
    if json:
        cli.print_json(rows[0] if networks and len(networks) == 1 else rows)
        return
    cli.print_table(
        "Costs for one image",
        ["network", "resolution", "params", "MAdds", "activations", "peak memory"],
        [
            [
                str(row["name"]),
                str(row["resolution"]),
                f"{row['params']:,}",
                f"{row['madds']:,}",
                f"{row['activations']:,}",
                f"{format_count(float(row['peak_memory']))}B",
            ]
            for row in rows
        ],
        CONVENTION,
    )
    for row in rows if layers else ():
        cli.print_table(
            str(row["name"]),
            ["layer", "kind", "output", "params", "MAdds"],
            [[str(value) for value in layer.values()] for layer in row["layers"]],
        )


def _adjusted(spec: NetworkSpec, resolution: int | None, classes: int | None) -> NetworkSpec:
    try:
        if resolution is not None:
            spec = spec.replace(input=dataclasses.replace(spec.input, resolution=resolution))
        return spec if classes is None else spec.replace(num_classes=classes)
    except ValidationError as error:
        problem, *_ = error.errors()
        *_, field = problem["loc"]
        option = str(field).removeprefix("num_")
        raise MixnasError(
            f"--{option}: {problem['msg'][:1].lower()}{problem['msg'][1:]}; "
            f"found {problem['input']}"
        ) from None


def _layer(layer: Layer) -> dict[str, str | int]:
    counted = count_leaf(layer.leaf, layer.in_shape)
    return {
        "path": layer.path,
        "kind": type(layer.leaf).__name__,
        "output": "x".join(map(str, layer.out_shape)),
        "params": counted.params,
        "madds": counted.madds,
    }


def _verified_madds(spec: NetworkSpec) -> int:
    """Return fvcore's count of MAdds.

    Raises:
        MixnasError: If it differs from the count of `nas.cost`.
    """
    from nas.cost.fvcore import fvcore_madds

    independent, madds = fvcore_madds(spec), count(spec).madds
    if independent != madds:
        raise MixnasError(f"{spec.name}: fvcore counts {independent:,} MAdds, mixnas {madds:,}")
    return independent


if __name__ == "__main__":
    cli.run(app)
