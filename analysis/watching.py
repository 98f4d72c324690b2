"""A report that follows a search."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from analysis.errors import AnalysisError
from analysis.report import write_report
from analysis.runs import Run, read_run

EVERY = 10  # seconds between two looks


def watch(path: Path, say: Callable[[str], None], every: float = EVERY) -> None:
    """Write a run's report anew whenever its tables change, until it has all its trials.

    What takes long to draw is left out, since the machine may be measuring. Ctrl-C ends it earlier;
    the whole page is still to be written then.

    Args:
        path: of the run directory.
        say: told what happens.
        every: seconds between two looks; the page loads itself again after as many.

    Raises:
        AnalysisError: when there is no such directory, or a file in it is damaged.
    """
    if not (path / "config.yaml").is_file():
        raise AnalysisError(f"{path} is no run directory: it has no config.yaml")
    seen, told = 0.0, False
    try:
        while True:
            changed = _changed(path)
            if changed > seen:
                seen = changed
                run = read_run(path)
                if _is_complete(run):
                    return
                page = write_report(path, refresh=max(1, round(every)))
                say(f"{len(run.completed)} networks in {page}; Ctrl-C ends")
            elif not told:
                say(f"waiting for the first networks of {path}")
            told = True
            time.sleep(every)
    except KeyboardInterrupt:
        if not seen:
            raise AnalysisError(f"{path} has no networks yet") from None


def _changed(path: Path) -> float:
    """Return when the trials' table was written; 0 if it was not yet."""
    table = path / "trials.csv"
    return table.stat().st_mtime if table.is_file() else 0.0


def _is_complete(run: Run) -> bool:
    wanted = run.config.get("trials")
    return isinstance(wanted, int) and len(run.completed) >= wanted
