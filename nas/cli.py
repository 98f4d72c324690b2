"""Shared by all commands: exit codes, error messages, tables and progress bars."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Timer
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from nas.errors import MixnasError
from nas.imports import missing_package, own_packages_first, set_library_defaults
from nas.progress import ProgressLines
from nas.units import LARGEST_BATCH, MOST_THREADS

SOON = 2.0  # seconds
JSON_HELP = "Print JSON instead of a table."
# What moves the cursor, rewrites what was printed, reorders text or cannot be encoded. Line breaks
# and tabs stay.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
Threads = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=MOST_THREADS,
        metavar="N",
        help="Number of runtime threads. [one per usable core]",
    ),
]
Batch = Annotated[
    int,
    typer.Option(min=1, max=LARGEST_BATCH, metavar="N", help="Number of images per run."),
]
Precision = Annotated[
    str,
    typer.Option(
        metavar="PRECISION",
        help="Arithmetic precision: fp32, or int8 (ONNX Runtime, LiteRT and OpenVINO).",
    ),
]
Resolution = Annotated[
    int | None,
    typer.Option(
        min=8,
        max=2048,
        metavar="PIXELS",
        help="Side length of the images in pixels. [the network's own]",
    ),
]
INTERVAL_HELP = (
    "Pause before each run, such as 200ms, as between the images of a camera: processors clock "
    "down meanwhile."
)
Interval = Annotated[str, typer.Option(metavar="TIME", help=INTERVAL_HELP)]
DeviceThreads = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=MOST_THREADS,
        metavar="N",
        help="Threads of the device's runtime while latency is measured. [one per usable core]",
    ),
]
DeviceBatch = Annotated[
    int | None,
    typer.Option(
        min=1, max=LARGEST_BATCH, metavar="N", help="Images per run while latency is measured. [1]"
    ),
]
DeviceInterval = Annotated[str | None, typer.Option(metavar="TIME", help=f"{INTERVAL_HELP} [none]")]
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


def run(app: typer.Typer, name: str | None = None, words: Sequence[str] | None = None) -> NoReturn:
    """Run an application; a user's mistake prints one line and exits with code 2.

    Args:
        app: The application.
        name: What its usage calls it; None for what it was called by.
        words: The command line; None for that of the process.
    """
    own_packages_first()
    set_library_defaults()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal may lack characters of a user's text
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(words, prog_name=name, standalone_mode=False)
    except MixnasError as error:
        _end_with(str(error))
    except ModuleNotFoundError as error:
        message = missing_package(error)
        if message is None:
            raise
        _end_with(message)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:  # a full disk, a folder without write permission
        if isinstance(error, BrokenPipeError):  # as when the output goes to `head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        _end_with(str(error))
    except Exception as error:
        analysis = sys.modules.get("analysis.errors")  # loaded by commands that print results
        if analysis is not None and isinstance(error, analysis.AnalysisError):
            _end_with(" ".join(str(error).split()))
        usage = getattr(error, "format_message", None)  # an option that typer refuses
        if usage is None:
            raise
        told = " ".join(str(usage()).split()).removesuffix(".")
        _end_with(f"{told}; --help lists the options")
    sys.exit(code or 0)


def _end_with(message: str) -> NoReturn:
    """Print the lines of an error message and exit with code 2."""
    for line in visible(message).splitlines():
        print(f"error: {line}", file=sys.stderr)
    sys.exit(2)


def visible(text: str) -> str:
    r"""Return a text with its control characters written out, such as ``\x1b``.

    Names and messages may come from anybody's files, and a terminal obeys what it is sent.
    """
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def print_text(text: str, error: bool = False) -> None:
    """Print text as it is, apart from control characters, to standard output or standard error."""
    print(visible(text), file=sys.stderr if error else sys.stdout)


def print_paragraph(text: str) -> None:
    """Print a paragraph to standard output: wrapped at words on a terminal, else as one line."""
    PlainConsole().print(text, soft_wrap=not sys.stdout.isatty())


def print_json(data: Any) -> None:
    """Print JSON to standard output."""
    print(json.dumps(data, indent=2, allow_nan=False))


class PlainConsole(Console):
    """Shows text as it is: it knows no markup and no emoji, and writes control characters out."""

    def __init__(self, **options: Any) -> None:
        """Open the console; the options are those of rich's `Console`."""
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """See `Console.render_str`, which rich calls for every text, cells and titles included."""
        return super().render_str(visible(text), **options)


def error_console() -> PlainConsole:
    """Return the console for progress and remarks, so that standard output holds only results."""
    return PlainConsole(stderr=True)


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
        table.add_row(*row)
    PlainConsole(width=width).print(table)


class _Description(ProgressColumn):
    """What a task is about, as it is: descriptions name files, which may be called anything."""

    def render(self, task: Task) -> Text:
        return Text(visible(task.description))


def new_progress(console: Console, transient: bool = False) -> Progress:
    """Return progress bars for a terminal; nothing is shown where there is none.

    They are only redrawn on updates, since a drawing thread would disturb measurements.
    """
    return Progress(
        _Description(),
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
    """Show a bar on a terminal until the block ends; elsewhere print a line now and then.

    Yields:
        What to call with the number of steps done and their total number.
    """
    if not console.is_terminal:
        yield ProgressLines(text, lambda line: console.print(line, soft_wrap=True))
        return
    bar = new_progress(console, transient=True)
    task = bar.add_task(text, total=None, visible=False)

    def step(done: int, total: int) -> None:
        bar.update(task, completed=done, total=total, visible=True, refresh=True)

    with bar:
        yield step


@contextmanager
def examining(console: Console, device: str) -> Iterator[Callable[[int, int], None]]:
    """Show the progress of examining a device, which is soon done if the device is known.

    Without a terminal, a line says what is going on if it takes longer than `SOON` seconds.
    """
    text = f"examining {device}"
    announcement = Timer(SOON, lambda: console.print(text, soft_wrap=True))
    announcement.daemon = True
    if not console.is_terminal:
        announcement.start()
    try:
        with progress_bar(console, text) as step:
            yield step
    finally:
        announcement.cancel()
