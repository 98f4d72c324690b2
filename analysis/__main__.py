"""``python -m analysis``: fronts, populations and reports."""

from __future__ import annotations

import json as json_module
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from analysis.errors import AnalysisError

app = typer.Typer(
    help="Fronts, populations and reports of searches and of any table of networks.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
RunPath = Annotated[Path, typer.Argument(help="A run directory.")]
Sources = Annotated[
    list[str],
    typer.Argument(
        help="Run directories, tables (.csv, .parquet, .json), or URLs of Optuna storages."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@app.command()
def pareto(run: RunPath, json: Json = False) -> None:
    """Show the networks that no other one beats in accuracy and latency."""
    from analysis.report import network_rows, run_front
    from analysis.runs import read_run

    read = read_run(run)
    front = run_front(read)
    rows = [row for row in network_rows(read, front) if row["group"] != "trial"]
    if json:
        columns = ["number", "spec_hash", *front.objectives, "madds", "params"]
        data = {
            "n": front.n,
            "dropped": front.dropped,
            "hypervolume": front.hypervolume,
            "reference_point": front.reference,
            "front": json_module.loads(front.rows[columns].to_json(orient="records")),
        }
        print(json_module.dumps(data, indent=2, allow_nan=False))
        return
    table = Table(title=f"Front of {front.n} networks, with references", title_justify="left")
    for column in ("network", "", read.label, "latency (ms)", "10% to 90%", "MAdds", "params"):
        table.add_column(column, justify="left" if column in ("network", "") else "right")
    keys = ("name", "group", "score", "latency_ms", "latency_range", "madds", "params")
    for row in rows:
        table.add_row(*(row[key] for key in keys))
    _console().print(table)


@app.command()
def population(
    sources: Sources,
    split: Annotated[
        str | None, typer.Option(help="Compare the networks by the values of this column.")
    ] = None,
    complexity: Annotated[
        str | None, typer.Option(help="Compare at even complexity: madds, params, ...")
    ] = None,
    error: Annotated[str | None, typer.Option(help="Column to be minimised.")] = None,
    score: Annotated[str | None, typer.Option(help="Column to be maximised, instead.")] = None,
    variable: Annotated[
        list[str] | None, typer.Option(help="Column of a design variable; may be repeated.")
    ] = None,
    study: Annotated[str | None, typer.Option(help="Name of the study in a storage.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for figures, SVG and PNG.")] = None,
    seed: Annotated[int, typer.Option(help="Of resampling and shuffling.")] = 0,
    json: Json = False,
) -> None:
    """Show how good the networks of spaces are, and which choices made them so."""
    from analysis import population_command as command
    from analysis.tables import Reading

    reading = Reading(error, score, tuple(variable or ()), study=study)
    found = command.population_cards(sources, reading, split, complexity, seed)
    written = [] if out is None else command.write_figures(found, out)
    if json:
        print(command.as_json(found))
        return
    command.show(found, _console())
    if out is None:
        print("figures: with --out FOLDER")
    else:
        print(f"figures: {len(written)} files in {out}")


@app.command()
def report(run: RunPath, json: Json = False) -> None:
    """Write report.html and the figures of a run anew."""
    from analysis.report import write_report

    page = write_report(run)
    print(json_module.dumps({"report": str(page)}) if json else f"report: {page}")


def _console() -> Console:
    return Console(highlight=False, width=None if sys.stdout.isatty() else 120)


def main() -> None:
    """Run the command; a user's mistake is one line and exit code 2."""
    try:
        app()
    except AnalysisError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except ModuleNotFoundError as error:
        print(
            f"error: the package '{error.name}' is not installed; what analysis needs comes with "
            "pip install 'mixnas[search]'",
            file=sys.stderr,
        )
        sys.exit(2)


if __name__ == "__main__":
    main()
