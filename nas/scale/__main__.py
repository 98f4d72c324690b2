"""``python -m nas.scale``: scale networks, and print what the scaled ones cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from nas import cli
from nas.cost import CONVENTION, count
from nas.document import document_name
from nas.errors import MixnasError
from nas.files import write_new
from nas.scale.factors import EFFICIENTNET, FASTEST, Factors
from nas.scale.grid import PRODUCT, STEP, TOLERANCE
from nas.scale.network import ALLOWED, RESOLUTION_STEP, scaled
from nas.scale.options import PAPER, Scaling, scalings
from nas.spec import NetworkSpec, load_network
from nas.units import format_count, number_of

app = cli.new_app()
_YAML = (".yaml", ".yml")
_COLUMNS = ("resolution", "blocks", "params", "MAdds", "MAdds ratio", "peak memory")


def _one_of(name: str) -> str:
    return ", ".join(ALLOWED[name])


@app.command()
def scale(
    context: typer.Context,
    networks: Annotated[
        list[str],
        typer.Argument(help="Names of reference networks or paths of spec files."),
    ],
    phi: Annotated[
        float | None,
        typer.Option(metavar="PHI", help="Compound scaling: EfficientNet's coefficient, as in 3."),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(metavar="X", help=f"Depth grows by it per step of PHI. [{PAPER.alpha}]"),
    ] = None,
    beta: Annotated[
        float | None,
        typer.Option(metavar="X", help=f"Width grows by it per step of PHI. [{PAPER.beta}]"),
    ] = None,
    gamma: Annotated[
        float | None,
        typer.Option(metavar="X", help=f"Resolution grows by it per step of PHI. [{PAPER.gamma}]"),
    ] = None,
    coefficients: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="Factors of --phi: published, which are EfficientNet-B0's to -B8's, set by hand; "
            "or formula, the powers of alpha, beta and gamma. [published if PHI is one of 0 to "
            f"{len(EFFICIENTNET) - 1} and the others are as in the paper, else formula]",
        ),
    ] = None,
    width: Annotated[
        float | None, typer.Option(metavar="X", help="Width multiplier, of all channels. [1]")
    ] = None,
    depth: Annotated[
        float | None,
        typer.Option(metavar="X", help="Depth multiplier, of the blocks of every stage. [1]"),
    ] = None,
    resolution: Annotated[
        int | None,
        typer.Option(metavar="PIXELS", help="Input resolution, whatever the factors say."),
    ] = None,
    factor: Annotated[
        float | None,
        typer.Option(metavar="S", help="Multiply the MAdds by about S, as --strategy says."),
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            metavar="WAY",
            help="dWr (fast compound scaling, mainly of width), or the letters of what is scaled "
            f"equally: dwr (uniform), dw, d, w, r. [{FASTEST}]",
        ),
    ] = None,
    grid_search: Annotated[
        bool,
        typer.Option(
            "--grid",
            help="List the networks of all alpha, beta and gamma on a grid whose product alpha "
            "beta^2 gamma^2 is about 2, at PHI 1.",
        ),
    ] = False,
    step: Annotated[
        float | None, typer.Option(metavar="X", help=f"Distance of values on the grid. [{STEP:g}]")
    ] = None,
    product: Annotated[
        float | None, typer.Option(metavar="X", help=f"Product on the grid. [{PRODUCT:g}]")
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(metavar="X", help=f"By how much the product may differ. [{TOLERANCE:g}]"),
    ] = None,
    stem: Annotated[
        str | None,
        typer.Option(metavar="RULE", help=f"Channels of the stem: {_one_of('stem')}. [scale]"),
    ] = None,
    head: Annotated[
        str | None,
        typer.Option(
            metavar="RULE",
            help=f"Channels of the head: {_one_of('head')}. grow never makes its last layer "
            "smaller, as in MobileNetV2; MixNet keeps it. [grow for multipliers, else scale]",
        ),
    ] = None,
    repeats: Annotated[
        str | None,
        typer.Option(
            metavar="RULE",
            help=f"Rounding of a stage's number of blocks: {_one_of('repeats')}. [round with "
            "--factor, else ceil]",
        ),
    ] = None,
    group_width: Annotated[
        str | None,
        typer.Option(
            metavar="RULE",
            help=f"Channels per group of grouped convolutions: {_one_of('group_width')}. [scale]",
        ),
    ] = None,
    rounding: Annotated[
        str | None,
        typer.Option(
            metavar="RULE",
            help=f"Rounding of channels to a multiple of 8: {_one_of('rounding')}. limited never "
            "takes more than 10% away, as in MobileNetV2; EfficientNetV2 takes the nearest. "
            "[limited]",
        ),
    ] = None,
    keep_ends: Annotated[
        bool,
        typer.Option("--keep-ends", help="Keep the depth of the first and the last stage."),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="YAML file to write the scaled network to, or a folder for one file per network "
            "(different ones only, with --grid).",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help=cli.JSON_HELP)] = False,
) -> None:
    """Scale networks by published rules, and print the exact costs of the scaled ones."""
    given = {
        "grid" if name == "grid_search" else name: value
        for name, value in context.params.items()
        if value is not None and value is not False
    }
    ways = scalings(given)
    bases = [load_network(name) for name in networks]
    pairs = [(base, scaling) for base in bases for scaling in ways]
    specs = [_scaled(base, scaling, resolution) for base, scaling in pairs]
    rows = [
        {**_description(base, scaling), **_costs(spec)}
        for (base, scaling), spec in zip(pairs, specs, strict=True)
    ]
    if out is not None and out.suffix in _YAML:  # a network has the name of the user's file
        specs = [spec.replace(name=document_name(out)) for spec in specs]
        rows[0]["name"] = specs[0].name
    for (base, scaling), spec in zip(pairs, specs, strict=True):
        if scaling.factors != Factors() and spec.stages == base.stages and spec.input == base.input:
            told = f"note: {spec.name} has the blocks of {base.name}: rounding undid the factors"
            cli.error_console().print(told, soft_wrap=True)
    first = {spec: spec.name for spec in reversed(specs)}
    if grid_search:
        for row, spec in zip(rows, specs, strict=True):
            row["same_as"] = None if first[spec] == spec.name else first[spec]
    if out is not None:
        _write(list(dict.fromkeys(specs)) if grid_search else specs, out)
    if json:
        for row, spec in zip(rows, specs, strict=True):
            row["spec"] = spec.to_dict()
        cli.print_json(rows[0] if len(networks) == 1 and not grid_search else rows)
        return
    _print(rows, [_costs(base) for base in bases], ways[0], grid_search)


def _scaled(base: NetworkSpec, scaling: Scaling, resolution: int | None) -> NetworkSpec:
    spec = scaled(base, scaling.factors, scaling.rules, resolution)
    pixels = "" if resolution is None else f"r{resolution}"
    return spec.replace(name="_".join(filter(None, (base.name, scaling.suffix, pixels))))


def _costs(spec: NetworkSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "resolution": spec.input.resolution,
        "blocks": len(spec.blocks),
        **dataclasses.asdict(count(spec)),
    }


def _description(base: NetworkSpec, scaling: Scaling) -> dict[str, Any]:
    """Return what a row of JSON says besides the costs; the name comes first."""
    description: dict[str, Any] = {
        "name": "",
        "base": _costs(base),
        "method": scaling.told,
        "factors": dataclasses.asdict(scaling.factors),
        "rules": dataclasses.asdict(scaling.rules),
    }
    if scaling.coefficients is not None:
        description["coefficients"] = dataclasses.asdict(scaling.coefficients)
        description["product"] = scaling.coefficients.product
    return description


def _write(specs: Sequence[NetworkSpec], out: Path) -> None:
    """Write the specs to a YAML file, or each to one of its own in a folder.

    Raises:
        MixnasError: If one of the files exists, or two would have the same name.
    """
    if out.suffix in _YAML:
        if len(specs) > 1:
            raise MixnasError(f"--out {out} is one file for {len(specs)} networks; give a folder")
        write_new({out: specs[0].to_yaml()})
        return
    contents: dict[Path, str] = {}
    for spec in specs:
        name = f"{spec.name}.yaml"
        if Path(name).name != name:
            raise MixnasError(f"'{name}' cannot be the name of a file; give --out NAME.yaml")
        if out / name in contents:
            raise MixnasError(f"two networks would be {out / name}; scale them one by one")
        contents[out / name] = spec.to_yaml()
    write_new(contents)


def _print(
    rows: list[dict[str, Any]], bases: list[dict[str, Any]], way: Scaling, grid_search: bool
) -> None:
    """Print the networks before and after scaling as a table."""
    names = ["alpha", "beta", "gamma", "product"] if grid_search else ["depth", "width"]
    lines = [[base["name"], *["1"] * len(names), *_cells(base, base)] for base in bases]
    for row in rows:
        if grid_search:
            values = [*row["coefficients"].values(), row["product"]]
        else:
            values = [row["factors"]["depth"], row["factors"]["width"]]
        cells = _cells(row, row["base"])
        lines.append([row["name"], *[f"{value:.4g}" for value in values], *cells])
    rules = way.rules
    notes = [
        f"factors: {way.told}",
        f"rounding: blocks of a stage {rules.repeats}, channels to multiples of 8, resolution to "
        f"multiples of {RESOLUTION_STEP}; stem: {rules.stem}, head: {rules.head}",
        CONVENTION,
    ]
    if grid_search:
        different = sum(row["same_as"] is None for row in rows)
        told = f"{number_of(len(rows), 'triple')}, {number_of(different, 'different network')}"
        notes.insert(0, f"{told}, since depth and width are rounded")
    cli.print_table("Costs for one image", ["network", *names, *_COLUMNS], lines, "\n".join(notes))


def _cells(row: dict[str, Any], base: dict[str, Any]) -> list[str]:
    return [
        str(row["resolution"]),
        str(row["blocks"]),
        f"{row['params']:,}",
        f"{row['madds']:,}",
        f"{row['madds'] / base['madds']:.3f}",
        f"{format_count(float(row['peak_memory']))}B",
    ]


if __name__ == "__main__":
    cli.run(app)
