"""``python -m nas.cost``: print the exact costs of networks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from nas import cli
from nas.cost import CONVENTION, Cost, count, count_leaf
from nas.errors import MixnasError
from nas.ir import Layer, walk
from nas.named import AnyNetwork, TimmNetwork, is_timm, open_timm
from nas.spec import NetworkSpec, load_network, reference_names
from nas.units import format_count

LAYERS, FVCORE = "layers", "fvcore"
"""What counted a network: its tree of layers, or fvcore, which traces it."""

app = cli.new_app()


@app.command()
def cost(
    networks: Annotated[
        list[str] | None,
        typer.Argument(
            help="Names of reference networks, paths of spec files, or timm:NAME. "
            "[all reference networks]"
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
    """Print the exact parameters, MAdds, activations and peak memory of networks.

    Networks of timm, which have no spec, are counted by fvcore: their parameters and MAdds only.
    """
    opened = [_opened(name, resolution, classes) for name in networks or reference_names()]
    rows = [_row(network, layers, check) for network in opened]
    if json:
        cli.print_json(rows[0] if networks and len(networks) == 1 else rows)
        return
    _print(rows)
    for row in rows if layers else ():
        cli.print_table(
            str(row["name"]),
            ["layer", "kind", "output", "params", "MAdds"],
            [[str(value) for value in layer.values()] for layer in row["layers"]],
        )


def _opened(name: str, resolution: int | None, classes: int | None) -> AnyNetwork:
    if is_timm(name):
        return open_timm(name, classes, resolution)
    return _adjusted(load_network(name), resolution, classes)


def _row(network: AnyNetwork, layers: bool, check: bool) -> dict[str, Any]:
    if isinstance(network, TimmNetwork):
        return _timm_row(network, layers, check)
    row: dict[str, Any] = {
        "name": network.name,
        "resolution": network.input.resolution,
        **dataclasses.asdict(count(network)),
        "counted_by": LAYERS,
    }
    if check:
        row["fvcore_madds"] = _verified_madds(network)
    if layers:
        row["layers"] = [_layer(layer) for layer in walk(network.tree(), network.in_shape)]
    return row


def _timm_row(network: TimmNetwork, layers: bool, check: bool) -> dict[str, Any]:
    """Return the costs of one of timm's networks, None for those that fvcore does not count.

    Raises:
        MixnasError: If its layers, or a check of the count, are asked for.
    """
    for option, given in (("--layers", layers), ("--check", check)):
        if given:
            raise MixnasError(
                f"{option}: {network.name} has no spec, and is counted as a whole by fvcore; omit "
                f"{option}, or name networks that have a spec"
            )
    from nas.cost.fvcore import timm_costs

    return {
        "name": network.name,
        "resolution": network.resolution,
        **dict.fromkeys(field.name for field in dataclasses.fields(Cost)),
        **timm_costs(network),
        "counted_by": FVCORE,
    }


def _print(rows: list[dict[str, Any]]) -> None:
    """Print the table of costs; how they were counted is a column only where it differs."""
    columns: dict[str, Callable[[dict[str, Any]], str]] = {
        "network": lambda row: str(row["name"]),
        "resolution": lambda row: str(row["resolution"]),
        "params": lambda row: f"{row['params']:,}",
        "MAdds": lambda row: f"{row['madds']:,}",
        "activations": lambda row: _known(row["activations"], lambda n: f"{n:,}"),
        "peak memory": lambda row: _known(
            row["peak_memory"], lambda n: f"{format_count(float(n))}B"
        ),
        "counted by": lambda row: str(row["counted_by"]),
    }
    caption = CONVENTION
    if all(row["counted_by"] == LAYERS for row in rows):
        del columns["counted by"]
    else:
        caption = f"{CONVENTION}; products of activations, as in attention, excluded"
    cells = [[cell(row) for cell in columns.values()] for row in rows]
    cli.print_table("Costs for one image", list(columns), cells, caption)


def _known(number: int | None, text: Callable[[int], str]) -> str:
    return "" if number is None else text(number)


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
