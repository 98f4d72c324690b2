"""Lines of the page of benchmarks: recorded results, sections, tables, and where they come from."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from experiments.tables import table

RESULTS = Path(__file__).resolve().parent / "results"


def recorded(name: str) -> dict[str, Any]:
    """Return a recorded result by its name."""
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def all_recorded(pattern: str) -> dict[str, dict[str, Any]]:
    """Return the recorded results whose names match a pattern, by name."""
    return {path.stem: recorded(path.stem) for path in sorted(RESULTS.glob(f"{pattern}.json"))}


def section(title: str, text: str) -> tuple[str, ...]:
    """Return the beginning of a section."""
    return f"## {title}", "", text, ""


def rows(columns: Iterable[str], cells: Iterable[Iterable[Any]]) -> Iterator[str]:
    """Yield a table."""
    yield from table(tuple(columns), (tuple(map(str, row)) for row in cells))
    yield ""


def origin(*results: dict[str, Any]) -> Iterator[str]:
    """Yield where and when results were measured, and how to measure them again."""
    told = dict.fromkeys(
        f"`{result['command'].partition(';')[0]}` ({_machine(result)}, {result['when'][:10]})"
        for result in results
    )
    yield "Measured by " + "; ".join(told) + "."
    yield ""


def _machine(result: dict[str, Any]) -> str:
    machine = result["machine"]
    if isinstance(machine, dict):
        return str(machine.get("gpu", machine["processor"]))
    return f"{machine}, {result['cores']} cores"


def percent(share: float, digits: int = 1) -> str:
    """Return a share in percent."""
    return f"{100 * share:.{digits}f}%"


def mean_and_deviation(shares: Sequence[float]) -> str:
    """Return the mean of shares in percent, with the standard deviation if there are several."""
    mean = percent(statistics.mean(shares))
    return f"{mean} ± {percent(statistics.stdev(shares))}" if len(shares) > 1 else mean


def paragraph(text: str) -> tuple[str, str]:
    """Return the lines of a paragraph."""
    return text, ""
