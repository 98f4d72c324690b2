"""Output shared by the subcommands: tables or JSON on standard output, figures in a folder."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure
from rich.console import Console

from analysis.figures.style import save_all
from analysis.printable import fitted
from analysis.units import number_of

PIPED_WIDTH = 120
"""Columns of a table that does not go to a terminal."""


def emit(
    as_json: Callable[[], str],
    show: Callable[[Console], None],
    figures: Callable[[], dict[str, Figure]],
    out: Path | None = None,
    json: bool = False,
) -> None:
    """Print a result, and write its figures if a folder is given.

    Args:
        as_json: Function that returns the result as JSON text.
        show: Function that prints the result as tables.
        figures: Function that draws the result's figures, by file name.
        out: Folder for the figures; None for none.
        json: Whether to print JSON instead of tables.
    """
    written = [] if out is None else save_all(figures(), out)
    if json:
        print(as_json())
        return
    width = None if sys.stdout.isatty() else PIPED_WIDTH
    stdout = fitted(sys.stdout)
    # Names are text, not markup: neither [red] nor :smile: means anything in them.
    show(Console(file=stdout, highlight=False, markup=False, emoji=False, width=width))
    said = (
        f"figures: {number_of(len(written), 'file')} in {out}"
        if out
        else "figures: add --out FOLDER"
    )
    print(said, file=stdout)
