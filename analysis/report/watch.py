"""Updating a report while its search is running."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

from analysis.errors import AnalysisError
from analysis.read.runs import read_run
from analysis.report.page import write_report
from analysis.units import number_of

EVERY = 10.0
"""Seconds between two checks for new results."""
TABLES = ("trials.csv", "references.csv", "confirmed.csv")
"""Files whose modification triggers an update."""


def watch(path: Path, say: Callable[[str], None], every: float = EVERY) -> None:
    """Rewrite a run's report whenever its tables change, until the search ends or on Ctrl-C.

    Slow statistics are left out, since the search may be measuring on this machine; the caller
    writes the complete report afterwards.

    Args:
        path: Run directory.
        say: Function called with progress messages.
        every: Seconds between two checks; the page reloads itself at the same interval.

    Raises:
        AnalysisError: If the path is not a run directory, a file in it is damaged, or there are no
            trials yet when the user presses Ctrl-C.
    """
    if not (path / "config.yaml").is_file():
        raise AnalysisError(f"{path} is not a run directory: it has no config.yaml")
    written, announced = 0.0, False
    try:
        while True:
            running, modified = _is_running(path), _modified(path)
            if modified and not running:
                return
            if modified > written:
                written = modified
                run = read_run(path)
                page = write_report(path, refresh=max(1, round(every)))
                say(f"{number_of(len(run.completed), 'network')} in {page}; stop with Ctrl-C")
            elif not announced:
                say(f"waiting for the first networks of {path}")
            announced = True
            time.sleep(every)
    except KeyboardInterrupt:
        if not written:
            raise AnalysisError(f"{path} has no networks yet") from None


def _modified(path: Path) -> float:
    """Return when the run's tables were last modified; 0 if there are no trials."""
    if not (path / "trials.csv").is_file():
        return 0.0
    return max((path / name).stat().st_mtime for name in TABLES if (path / name).is_file())


def _is_running(path: Path) -> bool:
    """Return whether a search holds the lock of the run directory, which a crash releases, too."""
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
