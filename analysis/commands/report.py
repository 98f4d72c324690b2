"""``python -m analysis report``: the reports of run directories."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from analysis.errors import AnalysisError
from analysis.printable import fitted, printable
from analysis.report.page import as_json, read_report, write_page
from analysis.report.ranking import keep_card
from analysis.report.watch import watch as watch_run


def write_reports(
    runs: Sequence[Path],
    watch: bool = False,
    ranking: Path | None = None,
    against: str | None = None,
    families: Sequence[str] = (),
    json: bool = False,
) -> None:
    """Write the report and figures of each run directory, and print where the report is.

    Args:
        runs: Run directories.
        watch: Whether to update the report until the search has ended; for a single run.
        ranking: Ranking card of the search's estimator, which is copied into the run directories.
        against: ``baselines`` for published networks to compare with; None for none.
        families: Families of published networks; all if empty.
        json: Whether to print each report as JSON.

    Raises:
        AnalysisError: If several runs are to be watched, or a run or ranking card cannot be read.
    """
    if watch and len(runs) > 1:
        raise AnalysisError(f"--watch follows one run, not {len(runs)}; name a single run")
    for run in runs:
        if ranking is not None:
            keep_card(ranking, run)
        if watch:
            watch_run(run, lambda text: print(printable(text), file=sys.stderr))
        report = read_report(run, against=against, families=families)
        page = write_page(report)
        if json:
            print(as_json(report, page))
        else:
            print(f"report: {page}", file=fitted(sys.stdout))
