"""``python -m nas.space``: look at spaces, draw from them, check documents and membership."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Annotated, Any

import typer

from nas import cli
from nas.blocks import Block
from nas.errors import MixnasError
from nas.files import write_atomic
from nas.limits import parse_limits, with_budget
from nas.space import Space, Variable, load_space, sample, size, space_names
from nas.space.size import upper_bound
from nas.spec import load_network
from nas.units import format_count

app = cli.new_app("Look at search spaces, draw from them, check documents and membership.")
SpaceName = Annotated[str, typer.Argument(help="Name of a space, or the path of its YAML file.")]
Json = Annotated[bool, typer.Option("--json", help=cli.JSON_HELP)]


def _size(space: Space) -> tuple[int, bool]:
    """Return the number of networks and whether it is exact."""
    try:
        return size(space), True
    except MixnasError:
        return upper_bound(space), False


def _format_size(number: int, exact: bool) -> str:
    text = f"{number:,}" if number < 1e9 else f"{float(number):.3g}"
    return text if exact else f"at most {text}"


@app.command("list")
def list_spaces(json: Json = False) -> None:
    """List the spaces that come with the package."""
    rows: list[dict[str, Any]] = []
    for name in space_names():
        space = load_space(name)
        number, exact = _size(space)
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
                _format_size(r["size"], r["size_is_exact"]),
                r["description"],
            ]
            for r in rows
        ],
    )


def _texts(space: Space) -> list[str]:
    """Return the restrictions as they were written; a chain of comparisons is kept as several."""
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
    """Show a space's variables, their values, restrictions, limits and exact size."""
    space = load_space(name)
    number, exact = _size(space)
    if json:
        cli.print_json(
            {
                "name": space.name,
                "description": space.description,
                "size": number,
                "size_is_exact": exact,
                "variables": [_variable(v) for v in space.variables],
                "restrictions": _texts(space),
                "limits": [dataclasses.asdict(limit) for limit in space.limits],
            }
        )
        return
    rows = []
    for variable in space.variables:
        labels = [str(label) for label in variable.labels]
        shown = ", ".join(labels[:8]) + (", ..." if len(labels) > 8 else "")
        rows.append(
            [variable.name, str(len(labels)), "depends" if variable.sites else "always", shown]
        )
    more = [f"restriction: {text}" for text in _texts(space)]
    more += [f"limit: {limit}" for limit in space.limits]
    cli.print_table(
        f"{space.name}: {_format_size(number, exact)} networks",
        ["variable", "values", "active", "choices"],
        rows,
        "\n".join(more) or None,
    )


def _kernels(block: Block) -> str:
    return ".".join(map(str, getattr(block, "kernels", ())))


@app.command("sample")
def sample_command(
    name: SpaceName,
    n: Annotated[int, typer.Option("-n", "--number", min=1, max=1_000_000)] = 1,
    budget: Annotated[str | None, typer.Option(help="MAdds: 400M at most, or 390M..400M.")] = None,
    limit: Annotated[
        list[str] | None, typer.Option(help="Another limit, as params=5M; may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write the specs to, as YAML files.")
    ] = None,
    json: Json = False,
) -> None:
    """Draw networks that meet limits."""
    space = load_space(name)
    limits = parse_limits(with_budget(budget, limit))
    if any(one.metric == "latency" for one in (*space.limits, *limits)):
        raise MixnasError("latency is not known from a spec; `python -m nas.search` measures it")
    rng = random.Random(seed)
    drawn = [sample(space, rng, limits) for _ in range(n)]
    specs = [space.decode(s.genotype, f"{space.name}_{i}") for i, s in enumerate(drawn)]
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for spec in specs:
            path = out / f"{spec.name}.yaml"
            if path.exists():
                raise MixnasError(f"{path} exists; choose another --out")
        for spec in specs:
            write_atomic(out / f"{spec.name}.yaml", spec.to_yaml())
    if json:
        cli.print_json(
            [
                {**dataclasses.asdict(s.cost), "spec": spec.to_dict()}
                for s, spec in zip(drawn, specs, strict=True)
            ]
        )
        return
    cli.print_table(
        f"{n} networks of {space.name}",
        ["network", "MAdds", "params", "blocks", "kernels by stage"],
        [
            [
                spec.name,
                f"{s.cost.madds:,}",
                format_count(s.cost.params),
                str(len(spec.blocks)),
                "  ".join(
                    "|".join(_kernels(block) for block in dict.fromkeys(stage))
                    for stage in spec.stages
                ),
            ]
            for s, spec in zip(drawn, specs, strict=True)
        ],
    )


@app.command()
def validate(name: SpaceName, json: Json = False) -> None:
    """Check a space's document, and that it holds a network within its own limits."""
    space = load_space(name)
    one = sample(space, random.Random(0))
    space.decode(one.genotype)
    number, exact = _size(space)
    if json:
        cli.print_json({"name": space.name, "valid": True, "size": number, "size_is_exact": exact})
        return
    print(
        f"{space.name} is valid: {len(space.variables)} variables, "
        f"{_format_size(number, exact)} networks"
    )


@app.command()
def contains(
    name: SpaceName,
    network: Annotated[str, typer.Argument(help="Reference name, or path of a spec file.")],
    json: Json = False,
) -> None:
    """Tell whether a network is a member of a space; exit code 1 when it is not."""
    space = load_space(name)
    spec = load_network(network)
    try:
        genotype = space.encode_spec(spec)
    except MixnasError as error:
        if space.derived:
            raise
        if json:
            cli.print_json(
                {"space": space.name, "network": spec.name, "contains": False, "reason": str(error)}
            )
        else:
            print(f"no: {error}")
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
        print(f"yes: '{spec.name}' is a member of '{space.name}'")


if __name__ == "__main__":
    cli.run(app)
