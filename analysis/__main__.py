"""``python -m analysis``: fronts, populations and reports."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from analysis.errors import AnalysisError

app = typer.Typer(
    help="Fronts, populations and reports of searches and of any table of networks.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
RunPaths = Annotated[list[Path], typer.Argument(help="Run directories.")]
Sources = Annotated[
    list[str],
    typer.Argument(
        help="Run directories, tables (.csv, .parquet, .json), or URLs of Optuna storages."
    ),
]
Source = Annotated[
    str,
    typer.Argument(
        help="A run directory, a table (.csv, .parquet, .json), or the URL of an Optuna storage."
    ),
]
ErrorColumn = Annotated[str | None, typer.Option("--error", help="Column to be minimised.")]
ScoreColumn = Annotated[
    str | None, typer.Option("--score", help="Column to be maximised, instead of an error.")
]
Costs = Annotated[
    list[str] | None, typer.Option("--cost", help="Column to be minimised beside; repeatable.")
]
Study = Annotated[str | None, typer.Option(help="Name of the study in a storage.")]
Against = Annotated[
    str | None, typer.Option(help="'baselines': published networks of like multiply-adds beside.")
]
Families = Annotated[
    list[str] | None, typer.Option("--family", help="Of the published networks; repeatable.")
]
Reference = Annotated[
    str | None, typer.Option(help="The hypervolume's reference point: accuracy=0.5,latency_ms=20.")
]
Out = Annotated[Path | None, typer.Option(help="Folder for figures, SVG and PNG.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@app.command()
def pareto(
    source: Source,
    error: ErrorColumn = None,
    score: ScoreColumn = None,
    cost: Costs = None,
    study: Study = None,
    against: Against = None,
    family: Families = None,
    reference: Reference = None,
    out: Out = None,
    json: Json = False,
) -> None:
    """Show the networks that no other one beats in all objectives."""
    _fronts([source], (error, score, cost, study), (against, family, reference), out, json)


@app.command()
def compare(
    sources: Sources,
    error: ErrorColumn = None,
    score: ScoreColumn = None,
    cost: Costs = None,
    study: Study = None,
    against: Against = None,
    family: Families = None,
    reference: Reference = None,
    out: Out = None,
    json: Json = False,
) -> None:
    """Compare the fronts of several searches, and what most of them attain."""
    _fronts(sources, (error, score, cost, study), (against, family, reference), out, json)


def _fronts(
    sources: list[str],
    columns: tuple[str | None, str | None, list[str] | None, str | None],
    beside: tuple[str | None, list[str] | None, str | None],
    out: Path | None,
    json: bool,
) -> None:
    from analysis.commands import fronts as command
    from analysis.read.population import ReadOptions, read_populations

    error, score, cost, study = columns
    against, family, reference = beside
    reading = ReadOptions(error, score, costs=tuple(cost or ()), study=study)
    populations = read_populations(sources, reading)
    found = command.fronts(populations, against, family or [], command.parse_reference(reference))
    _tell(command, found, out, json)


@app.command()
def population(
    sources: Sources,
    split: Annotated[
        str | None, typer.Option(help="Compare the networks by the values of this column.")
    ] = None,
    complexity: Annotated[
        str | None, typer.Option(help="Compare at even complexity: madds, params, ...")
    ] = None,
    error: ErrorColumn = None,
    score: ScoreColumn = None,
    variable: Annotated[
        list[str] | None, typer.Option(help="Column of a design variable; may be repeated.")
    ] = None,
    study: Study = None,
    against: Against = None,
    family: Families = None,
    out: Out = None,
    seed: Annotated[int, typer.Option(min=0, help="Of resampling and shuffling.")] = 0,
    json: Json = False,
) -> None:
    """Show how good the networks of spaces are, and which choices made them so."""
    from analysis.commands import population as command
    from analysis.read.population import ReadOptions
    from analysis.statistics.published import published_beside

    reading = ReadOptions(error, score, tuple(variable or ()), study=study)
    found = command.population_cards(sources, reading, split, complexity, seed)
    beside = published_beside([card.population for card in found], against, family or [])
    _tell(command, found, out, json, beside)


@app.command()
def report(
    runs: RunPaths,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on while a search runs, until it is complete.")
    ] = False,
    ranking: Annotated[
        Path | None,
        typer.Option(help="What python -m nas.rank left of the search's estimator; kept in RUN."),
    ] = None,
    against: Against = None,
    family: Families = None,
    json: Json = False,
) -> None:
    """Write report.html and the figures of runs anew; with --json, a document each."""
    from analysis.report import page as command

    if watch and len(runs) > 1:
        raise AnalysisError(f"--watch follows one run, not {len(runs)}")
    for run in runs:
        if ranking is not None:
            from analysis.report.ranking import keep_card

            keep_card(ranking, run)
        if watch:
            from analysis.report import watch as watching

            watching.watch(run, lambda text: print(text, file=sys.stderr))
        found = command.read_report(run, against=against, families=family or [])
        page = command.write_page(found)
        print(command.as_json(found, page) if json else f"report: {page}")


def _tell(command: Any, found: Any, out: Path | None, json: bool, *beside: Any) -> None:
    """Print what a command found, by its own module, and write its figures where asked to."""
    from analysis.figures.style import save_all

    written = [] if out is None else save_all(command.figures(found, *beside), out)
    if json:
        print(command.as_json(found, *beside))
        return
    width = None if sys.stdout.isatty() else 120
    command.show(found, Console(highlight=False, markup=False, width=width), *beside)
    print("figures: " + (f"{len(written)} files in {out}" if out else "with --out FOLDER"))


def main() -> None:
    """Run the command; a user's mistake is one line and exit code 2."""
    try:
        app()
    except AnalysisError as error:
        _refuse(str(error))
    except OSError as error:
        where = "" if error.filename is None else f"{error.filename}: "
        _refuse(f"{where}{error.strerror or error}")
    except ModuleNotFoundError as error:
        _refuse(
            f"the package '{error.name}' is not installed; what analysis needs comes with "
            "pip install 'mixnas[search]'"
        )


def _refuse(text: str) -> NoReturn:
    """End with one line."""
    print(f"error: {' '.join(text.split())}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
