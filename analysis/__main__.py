"""``python -m analysis``: fronts and reports of run directories."""

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
    help="Fronts and reports of run directories.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
RunPath = Annotated[Path, typer.Argument(help="A run directory.")]
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
    Console(highlight=False, width=None if sys.stdout.isatty() else 120).print(table)


@app.command()
def report(run: RunPath, json: Json = False) -> None:
    """Write report.html and the figures of a run anew."""
    from analysis.report import write_report

    page = write_report(run)
    print(json_module.dumps({"report": str(page)}) if json else f"report: {page}")


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
