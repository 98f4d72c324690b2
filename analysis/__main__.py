"""``python -m analysis``: fronts, populations and reports."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from analysis.errors import AnalysisError
from analysis.printable import printable

app = typer.Typer(
    help="Analyze searches and tables of networks: fronts, populations and reports.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
RunPaths = Annotated[list[Path], typer.Argument(help="Run directories.")]
Sources = Annotated[
    list[str],
    typer.Argument(
        help="Run directories, tables (.csv, .parquet, .json) or URLs of Optuna storages."
    ),
]
Source = Annotated[
    str,
    typer.Argument(
        help="Run directory, table (.csv, .parquet, .json) or URL of an Optuna storage."
    ),
]
ErrorColumn = Annotated[
    str | None,
    typer.Option("--error", metavar="COLUMN", help="Column of the error, which is minimized."),
]
ScoreColumn = Annotated[
    str | None,
    typer.Option(
        "--score",
        metavar="COLUMN",
        help="Column of a score, which is maximized, instead of an error.",
    ),
]
Costs = Annotated[
    list[str] | None,
    typer.Option(
        "--cost", metavar="COLUMN", help="Column of a cost, which is minimized; may be repeated."
    ),
]
Study = Annotated[
    str | None, typer.Option(metavar="NAME", help="Name of the study in the Optuna storage.")
]
Against = Annotated[
    str | None,
    typer.Option(
        metavar="SET",
        help="'baselines' to compare with published networks with similar multiply-adds.",
    ),
]
Families = Annotated[
    list[str] | None,
    typer.Option(
        "--family", metavar="FAMILY", help="Family of published networks; may be repeated."
    ),
]
Reference = Annotated[
    str | None,
    typer.Option(
        metavar="POINT",
        help="Reference point of the hypervolume, such as accuracy=50%,latency_ms=20.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Folder to write the figures to (SVG and PNG)."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


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
    """Show the Pareto front of a search or a table of networks."""
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
    """Compare the Pareto fronts of searches by hypervolume, distance and attainment surface."""
    _fronts(sources, (error, score, cost, study), (against, family, reference), out, json)


def _fronts(
    sources: list[str],
    columns: tuple[str | None, str | None, list[str] | None, str | None],
    comparison: tuple[str | None, list[str] | None, str | None],
    out: Path | None,
    json: bool,
) -> None:
    from analysis.commands import fronts as command
    from analysis.commands.output import emit
    from analysis.read.population import ReadOptions, read_populations

    error, score, cost, study = columns
    against, family, reference = comparison
    options = ReadOptions(error=error, score=score, costs=tuple(cost or ()), study=study)
    populations = read_populations(sources, options)
    point = command.parse_reference(reference)
    result = command.fronts(populations, against, family or [], point)
    emit(
        as_json=partial(command.as_json, result),
        show=partial(command.show, result),
        figures=partial(command.figures, result),
        out=out,
        json=json,
    )


@app.command()
def population(
    sources: Sources,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="Column whose values split the networks into populations."
        ),
    ] = None,
    complexity: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="Column by which to normalize distributions, such as madds."
        ),
    ] = None,
    error: ErrorColumn = None,
    score: ScoreColumn = None,
    variable: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Column of a design variable; may be repeated."),
    ] = None,
    study: Study = None,
    against: Against = None,
    family: Families = None,
    out: Out = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Random seed.")] = 0,
    json: Json = False,
) -> None:
    """Show how good the networks of search spaces are, and which design choices matter."""
    from analysis.commands import population as command
    from analysis.commands.output import emit
    from analysis.figures.population import population_figures
    from analysis.read.population import ReadOptions
    from analysis.statistics.published import published_in_range

    options = ReadOptions(error=error, score=score, variables=tuple(variable or ()), study=study)
    cards = command.population_cards(sources, options, split, complexity, seed)
    published = published_in_range([card.population for card in cards], against, family or [])
    emit(
        as_json=partial(command.as_json, cards, published),
        show=partial(command.show, cards, published=published),
        figures=partial(population_figures, cards, published),
        out=out,
        json=json,
    )


@app.command()
def report(
    runs: RunPaths,
    watch: Annotated[
        bool, typer.Option("--watch", help="Update the report until the search has ended.")
    ] = False,
    ranking: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Ranking card of the search's estimator, from python -m nas.rank; it is copied "
            "into the run directory.",
        ),
    ] = None,
    against: Against = None,
    family: Families = None,
    json: Json = False,
) -> None:
    """Write report.html and figures into run directories."""
    from analysis.commands.report import write_reports

    write_reports(
        runs, watch=watch, ranking=ranking, against=against, families=family or (), json=json
    )


def main() -> None:
    """Run the command; a user's mistake prints one line and exits with code 2."""
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except AnalysisError as error:
        _fail(str(error))
    except BrokenPipeError:  # as when the output goes to `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        where = "" if error.filename is None else f"{error.filename}: "
        _fail(f"{where}{error.strerror or error}")
    except ModuleNotFoundError as error:
        _fail(
            f"the package '{error.name}' is not installed; install the packages that analysis "
            "needs with pip install 'mixnas[search]'"
        )
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        usage = getattr(error, "format_message", None)  # an option that typer refuses
        if usage is None:
            raise
        _fail(f"{str(usage()).removesuffix('.')}; --help lists the options")


def _fail(text: str) -> NoReturn:
    """Print an error as one line and exit with code 2."""
    print(f"error: {printable(' '.join(text.split()))}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
