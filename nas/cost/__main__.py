"""``python -m nas.cost``: exact counts of networks."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from nas import cli
from nas.cost import CONVENTION, Cost, count, count_leaf
from nas.errors import MixnasError
from nas.ir import Layer, walk
from nas.spec import NetworkSpec, load_network, reference_names
from nas.units import format_count

app = cli.new_app("Exact parameters, MAdds, activations and peak memory of networks.")


@app.command()
def cost(
    networks: Annotated[
        list[str] | None,
        typer.Argument(help="Reference names or paths of spec files; all references if none."),
    ] = None,
    resolution: Annotated[
        int | None, typer.Option(help="Input resolution in pixels, in place of the spec's.")
    ] = None,
    classes: Annotated[
        int | None, typer.Option(help="Number of classes, in place of the spec's.")
    ] = None,
    layers: Annotated[bool, typer.Option("--layers", help="One row a layer.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Compare the MAdds with fvcore's count (needs torch).")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help=cli.JSON_HELP)] = False,
) -> None:
    """Count networks exactly, from their specs alone."""
    specs = [
        _adjusted(load_network(name), resolution, classes) for name in networks or reference_names()
    ]
    rows: list[dict[str, Any]] = []
    for spec in specs:
        row: dict[str, Any] = {
            "name": spec.name,
            "resolution": spec.input.resolution,
            **_costs(count(spec)),
        }
        if check:
            row["fvcore_madds"] = _checked(spec)
        if layers:
            row["layers"] = [_layer(layer) for layer in walk(spec.tree(), spec.in_shape)]
        rows.append(row)
    if json:
        cli.print_json(rows[0] if networks and len(networks) == 1 else rows)
        return
    cli.print_table(
        "Cost of one image",
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
        problem = error.errors()[0]
        raise MixnasError(
            f"--{problem['loc'][-1]} is not possible: {problem['msg']}; found {problem['input']}"
        ) from None


def _costs(cost: Cost) -> dict[str, int]:
    return dataclasses.asdict(cost)


def _layer(layer: Layer) -> dict[str, str | int]:
    counted = count_leaf(layer.leaf, layer.in_shape)
    return {
        "path": layer.path,
        "kind": type(layer.leaf).__name__,
        "output": "x".join(map(str, layer.out_shape)),
        "params": counted.params,
        "madds": counted.madds,
    }


def _checked(spec: NetworkSpec) -> int:
    """Return fvcore's count of convolutions and linear layers.

    Raises:
        MixnasError: when it is another one than ours.
    """
    from nas.cost.fvcore import fvcore_madds

    theirs, ours = fvcore_madds(spec), count(spec).madds
    if theirs != ours:
        raise MixnasError(f"{spec.name}: fvcore counts {theirs:,} MAdds, mixnas {ours:,}")
    return theirs


if __name__ == "__main__":
    cli.run(app)
