"""A run in a notebook: its findings, its front and its figures, inline."""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from analysis.report.data import judged_rows
from analysis.report.page import CAPTIONS, Report, figures_of, read_report
from analysis.report.text import summary
from analysis.schema import RAW_SCORE

_COLUMNS = {
    "name": "network",
    "score": "score",
    RAW_SCORE: "raw",
    "latency_ms": "latency (ms)",
    "madds": "MAdds (M)",
    "params": "params (M)",
    "group": "",
}
"""Columns of the table of networks that are worth looking at, with their titles."""


class RunView:
    """A run directory as an object that a notebook shows.

    The last line of a cell, ``RunView("runs/pets")``, shows what was found in sentences, the table
    of the front beside the reference networks, and the figure of the front. While a search is
    running, the cell can be run again.

    Attributes:
        path: The run directory.
    """

    def __init__(self, path: str | Path) -> None:
        """Read a run directory.

        Args:
            path: The run directory, of a finished or of a running search.

        Raises:
            AnalysisError: If it is not a run directory, or a file in it is damaged.
        """
        self.path = Path(path).expanduser()
        self._report: Report = read_report(self.path)

    @property
    def summary(self) -> list[str]:
        """What was searched and found, a paragraph each."""
        return summary(self._report.run, self._report.front)

    @property
    def trials(self) -> pd.DataFrame:
        """All trials, one row each: the columns of ``trials.csv``."""
        return self._report.run.trials

    @property
    def front(self) -> pd.DataFrame:
        """The trials on the Pareto front, from fast to slow."""
        return self._report.front.rows.sort_values("latency_ms", ignore_index=True)

    @property
    def table(self) -> pd.DataFrame:
        """The front and the reference networks as they are shown, from fast to slow."""
        run = self._report.run
        rows = judged_rows(run, self._report.front)
        rows = rows[rows["group"].isin(["front", "reference"])]
        table = rows[list(_COLUMNS)].rename(columns=_COLUMNS).reset_index(drop=True)
        for name in ("score", RAW_SCORE):
            texts = ["" if pd.isna(score) else run.score_text(score) for score in rows[name]]
            table[_COLUMNS[name]] = texts
        for column in ("MAdds (M)", "params (M)"):
            table[column] = (table[column].astype(float) / 1e6).round(2)
        table["latency (ms)"] = table["latency (ms)"].astype(float).round(2)
        return table if run.smoothed else table.drop(columns=_COLUMNS[RAW_SCORE])

    def figures(self) -> dict[str, Figure]:
        """Return all figures of the report by name, such as ``front`` or ``importance``."""
        return figures_of(self._report)

    def __repr__(self) -> str:
        return "\n".join([str(self.path), *self.summary, "", self.table.to_string(index=False)])

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        figure = self.figures()["front"]
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=144)
        picture = base64.b64encode(buffer.getvalue()).decode("ascii")
        paragraphs = "".join(f"<p>{html.escape(text)}</p>" for text in self.summary)
        return (
            f"<h4>{html.escape(str(self.path))}</h4>{paragraphs}"
            f"{self.table.to_html(index=False, escape=True, border=0)}"
            f'<figure><img alt="{html.escape(CAPTIONS["front"])}" style="max-width: 640px" '
            f'src="data:image/png;base64,{picture}"></figure>'
        )
