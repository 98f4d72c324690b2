"""One page for a run: what came out, and what it came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from matplotlib.figure import Figure

from analysis.confirmation import confirmed_rows
from analysis.figures import cost_figure, front_figure, history_figure, svg
from analysis.files import write_whole
from analysis.fronts import Front, pareto_front
from analysis.runs import OBJECTIVES, Run, read_run

COLUMNS = ("name", "score", "latency_ms", "latency_range", "madds", "params")


def run_front(run: Run) -> Front:
    """Return the front of a run's completed trials, of those within its limits."""
    rows = run.completed
    if "within_limits" in rows:
        rows = rows[rows["within_limits"].astype(bool)]
    return pareto_front(rows, OBJECTIVES)


def _cells(run: Run, row: pd.Series, name: str) -> dict[str, str]:
    """Return a network's numbers as text for a table."""

    def show(value: Any, form: str) -> str:
        return "-" if pd.isna(value) else form.format(value)

    low, high = row["latency_p10_ms"], row["latency_p90_ms"]
    source = " (predicted)" if row.get("latency_source") == "predicted" else ""
    return {
        "name": name,
        "score": run.score_text(row["score"]),
        "latency_ms": show(row["latency_ms"], "{:.2f}"),
        "latency_range": "-" if pd.isna(low) else f"{low:.2f} to {high:.2f}{source}",
        "madds": show(row["madds"] / 1e6, "{:.0f}M"),
        "params": show(row["params"] / 1e6, "{:.2f}M"),
    }


def network_rows(run: Run, front: Front) -> list[dict[str, Any]]:
    """Return the front, the references and all other trials as rows for a table, fastest first."""
    members = set(front.rows["number"])
    rows = []
    for _, row in run.trials.iterrows():
        group = "front" if row["number"] in members else "trial"
        rows.append(
            {
                **_cells(run, row, f"trial_{row['number']}"),
                "group": group,
                "state": row["state"],
                "reason": "" if pd.isna(row["reason"]) else row["reason"],
                "sort": row["latency_ms"],
            }
        )
    for _, row in run.references.iterrows():
        cells = _cells(run, row, str(row["name"]))
        rows.append(
            {
                **cells,
                "group": "reference",
                "state": row["state"],
                "reason": "" if pd.isna(row["reason"]) else row["reason"],
                "sort": row["latency_ms"],
            }
        )
    return sorted(rows, key=lambda r: (pd.isna(r["sort"]), r["sort"]))


def figures_of(run: Run, front: Front) -> dict[str, Figure]:
    """Return the figures of a run by file name."""
    done = run.completed
    judged = run.references.dropna(subset=list(OBJECTIVES))
    measured = run.references.dropna(subset=["latency_ms"])
    return {
        "front": front_figure(done, judged, front, run.label),
        "history": history_figure(done, run.label),
        "madds_latency": cost_figure(done, measured),
    }


def write_report(path: Path) -> Path:
    """Write ``report.html`` and ``figures/*.svg`` of a run directory.

    Returns:
        The page's path.

    Raises:
        AnalysisError: when the folder is no run directory.
    """
    run = read_run(path)
    front = run_front(run)
    drawn = {name: svg(figure) for name, figure in figures_of(run, front).items()}
    (path / "figures").mkdir(exist_ok=True)
    for name, text in drawn.items():
        write_whole(path / "figures" / f"{name}.svg", text)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("analysis"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    rows = network_rows(run, front)
    failed = [row for row in rows if row["state"] in ("fail", "pruned")]
    page = environment.get_template("report.html").render(
        run=run,
        front=front,
        rows=[row for row in rows if row["state"] == "complete"],
        failed=failed,
        retrained=confirmed_rows(run.retrained, run.best),
        figures=drawn,
    )
    write_whole(path / "report.html", page)
    return path / "report.html"
