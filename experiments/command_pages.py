"""Pages of all commands and their options, for the docs.

    python -m experiments.command_pages

writes ``docs/reference/commands/*.md`` from the commands themselves; a test holds that they are up
to date.
"""

from __future__ import annotations

import html
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import typer

from nas.__main__ import COMMANDS
from nas.files import write_atomic

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "reference" / "commands"
_MARKUP = re.compile(r"([\\`*_\[\]|{}])")


def pages() -> dict[str, str]:
    """Return the text of every page, in Markdown, by the name of its file."""
    return {f"{name}.md": _page(name) for name in COMMANDS}


def _page(name: str) -> str:
    module = COMMANDS[name].module
    command = typer.main.get_command(importlib.import_module(module).app)
    call = f"python -m {module.removesuffix('.__main__')}"
    lines = [f"# mixnas {name}", "", f"`mixnas {name}` is the same as `{call}`.", ""]
    lines += _paragraphs(command.help)
    parts = getattr(command, "commands", None)
    if parts is None:
        lines += _usage(command, f"mixnas {name}")
    else:
        for part, below in parts.items():
            lines += [f"## {part}", "", *_paragraphs(below.help)]
            lines += _usage(below, f"mixnas {name} {part}")
    return "\n".join(lines).rstrip() + "\n"


def _paragraphs(text: str | None) -> Iterator[str]:
    """Yield the paragraphs of a help text, each as one line that an empty one follows."""
    for paragraph in inspect.cleandoc(text or "").split("\n\n"):
        yield _plain(paragraph)
        yield ""


def _usage(command: click.Command, call: str) -> Iterator[str]:
    """Yield how a command is called, and a table of its arguments and options."""
    context = click.Context(command, info_name=call)
    yield from ("```", " ".join([call, *command.collect_usage_pieces(context)]), "```", "")
    rows = [
        record
        for parameter in command.get_params(context)
        if "--help" not in parameter.opts
        and (record := parameter.get_help_record(context)) is not None
    ]
    if rows:
        yield from ("| option | meaning |", "|--|--|")
        for words, help_text in rows:
            words = re.sub(r" <.*>$", "", words)  # the type of an argument
            yield f"| {_code(words)} | {_plain(help_text)} |"
        yield ""
    if command.epilog:  # a list, laid out by hand
        yield from ("```", inspect.cleandoc(command.epilog).strip("\b\n"), "```", "")


def _code(words: str) -> str:
    if "|" in words:  # which would end the cell of a table
        return f"<code>{html.escape(words).replace('|', '&#124;')}</code>"
    return f"`{words}`"


def _plain(text: str) -> str:
    """Return a text in one line, without the meaning that Markdown gives to its characters."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split())).replace("<", "&lt;")


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for file, text in pages().items():
        write_atomic(FOLDER / file, text)
    print(f"the pages in {FOLDER} are written", file=sys.stderr)
