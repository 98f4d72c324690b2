"""``python -m nas.space``: inspect, sample and validate search spaces."""

from __future__ import annotations

import csv
import dataclasses
import random
from pathlib import Path
from typing import Annotated, Any

import typer

from nas import cli
from nas.blocks import Block
from nas.cost import Cost, count
from nas.errors import MixnasError
from nas.files import write_new
from nas.limits import parse_limits, with_budget
from nas.references import Reference, references
from nas.space import Space, Variable, load_space, sample, sample_many, space_names
from nas.space.rows import genotype_of_cells
from nas.space.size import size_or_bound, size_text
from nas.spec import NetworkSpec, load_network
from nas.units import format_count, number_of

app = cli.new_app(
    "Inspect, sample and validate search spaces, and check whether a network belongs to one."
)
SpaceName = Annotated[
    str, typer.Argument(help="Name of a space, path of its YAML file, or around:NETWORK.")
]
Json = Annotated[bool, typer.Option("--json", help=cli.JSON_HELP)]


def _networks(number: int, exact: bool) -> str:
    return f"{size_text(number, exact)} network{'' if number == 1 else 's'}"


@app.command("list")
def list_spaces(json: Json = False) -> None:
    """List the search spaces that come with the package."""
    rows: list[dict[str, Any]] = []
    for name in space_names():
        space = load_space(name)
        number, exact = size_or_bound(space)
        rows.append(
            {
                "name": name,
                "variables": len(space.variables),
                "size": number,
                "size_is_exact": exact,
                "description": space.description,
            }
        )
    if json:
        cli.print_json(rows)
        return
    cli.print_table(
        "Search spaces",
        ["space", "variables", "networks", "description"],
        [
            [
                r["name"],
                str(r["variables"]),
                size_text(r["size"], r["size_is_exact"]),
                r["description"],
            ]
            for r in rows
        ],
    )


@app.command("references")
def list_references(json: Json = False) -> None:
    """List the published networks that come with the package, with their costs and accuracies."""
    found = [(reference, count(reference.spec)) for reference in references()]
    if json:
        cli.print_json([_reference(*each) for each in found])
        return
    cli.print_table(
        "Reference networks",
        ["network", "family", "params", "MAdds", "pixels", "top-1 (%)", "published in"],
        [
            [
                reference.spec.name,
                reference.family,
                format_count(cost.params),
                format_count(cost.madds),
                str(reference.spec.input.resolution),
                reference.accuracy_text,
                reference.published.source if reference.published is not None else "",
            ]
            for reference, cost in found
        ],
        "Top-1 accuracy on ImageNet, as published; at a resolution of its own, that is given.",
    )


def _reference(reference: Reference, cost: Cost) -> dict[str, Any]:
    spec, published = reference.spec, reference.published
    return {
        "name": spec.name,
        "family": reference.family,
        "description": reference.description,
        "resolution": spec.input.resolution,
        "params": cost.params,
        "madds": cost.madds,
        "activations": cost.activations,
        "published": None if published is None else dataclasses.asdict(published),
    }


def _restriction_texts(space: Space) -> list[str]:
    """Return the restrictions as written, although a space splits them into their parts."""
    return list(dict.fromkeys(restriction.text for restriction in space.restrictions))


def _variable(variable: Variable) -> dict[str, Any]:
    return {
        "name": variable.name,
        "kind": variable.kind,
        "values": list(variable.labels),
        "conditional": bool(variable.sites),
    }


@app.command()
def show(name: SpaceName, json: Json = False) -> None:
    """Show a space's variables and their values, its restrictions, limits and size."""
    space = load_space(name)
    number, exact = size_or_bound(space)
    if json:
        cli.print_json(
            {
                "name": space.name,
                "description": space.description,
                "size": number,
                "size_is_exact": exact,
                "variables": [_variable(v) for v in space.variables],
                "restrictions": _restriction_texts(space),
                "limits": [dataclasses.asdict(limit) for limit in space.limits],
            }
        )
        return
    rows = []
    for variable in space.variables:
        labels = [str(label) for label in variable.labels]
        choices = ", ".join(labels[:8]) + (", ..." if len(labels) > 8 else "")
        active = "conditional" if variable.sites else "always"
        rows.append([variable.name, str(len(labels)), active, choices])
    notes = [f"restriction: {text}" for text in _restriction_texts(space)]
    notes += [f"limit: {limit}" for limit in space.limits]
    cli.print_table(
        f"{space.name}: {_networks(number, exact)}",
        ["variable", "values", "active", "choices"],
        rows,
        "\n".join(notes) or None,
    )


def _kernels(block: Block) -> str:
    return ".".join(map(str, getattr(block, "kernels", ())))


@app.command("sample")
def sample_command(
    name: SpaceName,
    n: Annotated[
        int,
        typer.Option(
            "-n",
            "--number",
            min=1,
            max=1_000_000,
            metavar="N",
            help="Number of networks to sample.",
        ),
    ] = 1,
    budget: Annotated[
        str | None,
        typer.Option(metavar="RANGE", help="Limit on MAdds: 400M (at most), or 390M..400M."),
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC=RANGE",
            help="Limit on another cost, such as params=5M; may be repeated.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Random seed.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder to write the sampled specs to, as YAML files."),
    ] = None,
    json: Json = False,
) -> None:
    """Sample networks within limits."""
    space = load_space(name)
    limits = parse_limits(with_budget(budget, limit))
    if any(one.metric == "latency" for one in (*space.limits, *limits)):
        raise MixnasError(
            "latency cannot be computed from a spec, so it cannot be limited here; omit the limit "
            "and use `python -m nas.search`, which measures latency"
        )
    rng = random.Random(seed)
    samples = sample_many(space, rng, n, limits)
    specs = [space.decode(s.genotype, f"{space.name}_{i}") for i, s in enumerate(samples)]
    if out is not None:
        write_new({out / f"{spec.name}.yaml": spec.to_yaml() for spec in specs})
    costs_and_specs = [(s.cost, spec) for s, spec in zip(samples, specs, strict=True)]
    if json:
        cli.print_json(
            [{**dataclasses.asdict(cost), "spec": spec.to_dict()} for cost, spec in costs_and_specs]
        )
        return
    cli.print_table(
        f"{number_of(n, 'network')} of {space.name}",
        ["network", "MAdds", "params", "blocks", "kernels by stage"],
        [_network_row(spec, cost) for cost, spec in costs_and_specs],
    )


def _network_row(spec: NetworkSpec, cost: Cost) -> list[str]:
    stages = ("|".join(map(_kernels, dict.fromkeys(stage))) for stage in spec.stages)
    return [
        spec.name,
        f"{cost.madds:,}",
        format_count(cost.params),
        str(len(spec.blocks)),
        "  ".join(stages),
    ]


@app.command()
def validate(name: SpaceName, json: Json = False) -> None:
    """Check that a space's document is valid and has a network within its own limits."""
    space = load_space(name)
    space.decode(sample(space, random.Random(0)).genotype)
    number, exact = size_or_bound(space)
    if json:
        cli.print_json({"name": space.name, "valid": True, "size": number, "size_is_exact": exact})
        return
    cli.print_text(
        f"{space.name} is valid: {number_of(len(space.variables), 'variable')}, "
        f"{_networks(number, exact)}"
    )


@app.command()
def contains(
    name: SpaceName,
    network: Annotated[
        str, typer.Argument(help="Name of a reference network or path of a spec file.")
    ],
    json: Json = False,
) -> None:
    """Check whether a network is a member of a space; exit with code 1 if it is not."""
    space = load_space(name)
    spec = load_network(network)
    try:
        genotype = space.encode_spec(spec)
    except MixnasError as error:
        if json:
            cli.print_json(
                {"space": space.name, "network": spec.name, "contains": False, "reason": str(error)}
            )
        else:
            cli.print_text(f"no: {error}")
        raise typer.Exit(1) from None
    if json:
        cli.print_json(
            {
                "space": space.name,
                "network": spec.name,
                "contains": True,
                "genotype": space.to_params(genotype),
            }
        )
    else:
        cli.print_text(f"yes: '{spec.name}' is a member of '{space.name}'")


@app.command()
def trial(
    run: Annotated[Path, typer.Argument(help="Run directory of a search.")],
    number: Annotated[int, typer.Argument(help="Number of a trial.", min=0)],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File to write the spec to; it must not exist. [print]"),
    ] = None,
    json: Json = False,
) -> None:
    """Print or write the spec of any trial of a search, whether it is on the front or not."""
    space = load_space(str(run / "space.yaml"))
    best = run / "best.yaml"
    if best.is_file():  # the space may have another number of classes than the data
        space = space.with_classes(load_network(str(best)).num_classes)
    spec = space.decode(genotype_of_cells(_row_of_trial(run, number), space))
    spec = spec.replace(name=f"{space.name}_trial_{number}")
    if out is not None:
        write_new({out: spec.to_yaml()})
    if json:
        cli.print_json(spec.to_dict())
    elif out is None:
        print(spec.to_yaml(), end="")


def _row_of_trial(run: Path, number: int) -> dict[str, str]:
    """Return the row of a trial in a run's table.

    Raises:
        MixnasError: If there is no table, or no such trial in it.
    """
    file = run / "trials.csv"
    try:
        with file.open(encoding="utf-8", newline="") as table:
            for row in csv.DictReader(table):
                if str(row.get("number", "")).removesuffix(".0") == str(number):
                    return row
    except (OSError, ValueError, csv.Error) as error:
        raise MixnasError(f"{file} cannot be read: {error}") from None
    raise MixnasError(f"{file} has no trial {number}")


if __name__ == "__main__":
    cli.run(app)
