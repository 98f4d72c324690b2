"""Shared by all commands: exit codes, error messages, tables and progress bars."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from nas.errors import MixnasError
from nas.imports import missing_package

JSON_HELP = "Print JSON instead of a table."
Threads = Annotated[
    int | None,
    typer.Option(
        min=1, max=1024, metavar="N", help="Number of runtime threads. [one per usable core]"
    ),
]
Batch = Annotated[int, typer.Option(min=1, max=4096, metavar="N", help="Number of images per run.")]
Precision = Annotated[
    str,
    typer.Option(
        metavar="PRECISION", help="Arithmetic precision: fp32, or int8 (ONNX Runtime only)."
    ),
]
ImagesPerClass = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Most images of each class to use. [all]")
]


def new_app(help_text: str | None = None) -> typer.Typer:
    """Return a command-line application; one with a single command shows that command's help."""
    return typer.Typer(
        help=help_text,
        add_completion=False,
        pretty_exceptions_enable=False,
        no_args_is_help=False,
        rich_markup_mode=None,
    )


def run(app: typer.Typer) -> NoReturn:
    """Run an application; a user's mistake prints one line and exits with code 2."""
    try:
        code = app(standalone_mode=False)
    except MixnasError as error:
        for line in str(error).splitlines():
            print(f"error: {line}", file=sys.stderr)
        sys.exit(2)
    except ModuleNotFoundError as error:
        message = missing_package(error)
        if message is None:
            raise
        print(f"error: {message}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:  # a full disk, a folder without write permission
        if isinstance(error, BrokenPipeError):  # as when the output goes to `head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except Exception as error:
        usage = getattr(error, "format_message", None)  # an option that typer refuses
        if usage is None:
            raise
        print(f"error: {usage()}; --help lists the options", file=sys.stderr)
        sys.exit(2)
    sys.exit(code or 0)


def print_json(data: Any) -> None:
    """Print JSON to standard output."""
    print(json.dumps(data, indent=2, allow_nan=False))


def error_console() -> Console:
    """Return the console for progress and remarks, so that standard output holds only results."""
    return Console(stderr=True, highlight=False)


def print_table(
    title: str, columns: list[str], rows: list[list[str]], caption: str | None = None
) -> None:
    """Print a table whose cells are already text; columns of numbers are right-aligned."""
    width = None if sys.stdout.isatty() else 160
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
    for index, column in enumerate(columns):
        cells = [row[index] for row in rows]
        numeric = index > 0 and all(cell[:1].isdigit() or cell in ("", "-") for cell in cells)
        table.add_column(column, justify="right" if numeric else "left", no_wrap=index == 0)
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    Console(highlight=False, width=width).print(table)


def new_progress(console: Console, transient: bool = False) -> Progress:
    """Return progress bars for a terminal; nothing is shown where there is none.

    They are only redrawn on updates, since a drawing thread would disturb measurements.
    """
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        auto_refresh=False,
        transient=transient,
        disable=not console.is_terminal,
    )


@contextmanager
def progress_bar(console: Console, text: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on a terminal, from the first step on until the block ends.

    Yields:
        What to call with the number of steps done and their total number.
    """
    bar = new_progress(console, transient=True)
    task = bar.add_task(text, total=None, visible=False)

    def step(done: int, total: int) -> None:
        bar.update(task, completed=done, total=total, visible=True, refresh=True)

    with bar:
        yield step
