"""A report that follows a search."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

from analysis.errors import AnalysisError
from analysis.read.runs import read_run
from analysis.report.page import write_report

EVERY = 10  # seconds between two looks
TABLES = ("trials.csv", "references.csv", "confirmed.csv")


def watch(path: Path, say: Callable[[str], None], every: float = EVERY) -> None:
    """Write a run's report anew whenever its tables change, until the search has ended.

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
            running, changed = _is_running(path), _changed(path)
            if changed and not running:
                return
            if changed > seen:
                seen = changed
                run = read_run(path)
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
    """Return when the run's tables were written; 0 while there are no trials."""
    if not (path / "trials.csv").is_file():
        return 0.0
    return max((path / name).stat().st_mtime for name in TABLES if (path / name).is_file())


def _is_running(path: Path) -> bool:
    """Whether a search holds the run directory, as it does until it ends, however it does."""
    file = path / ".lock"
    if not file.is_file():
        return False
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False
