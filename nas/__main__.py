"""``mixnas COMMAND``, or ``python -m nas COMMAND``: all commands under one name."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any, NamedTuple, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from nas import cli
from nas.errors import MixnasError, unknown
from nas.imports import own_packages_first

_COMPLETION = "_MIXNAS_COMPLETE"  # set by shells that complete a command


class _Place(NamedTuple):
    """Where a command is, and what it does in one line."""

    module: str
    summary: str


COMMANDS = {
    "search": _Place("nas.search.__main__", "Search a space for networks that suit your device."),
    "train": _Place("nas.train.__main__", "Train a network by recipe."),
    "export": _Place("nas.export.__main__", "Write a network in the format of a runtime."),
    "measure": _Place("nas.measure.__main__", "Measure the latency of networks on a device."),
    "device": _Place("nas.device", "Serve, examine and predict devices."),
    "cost": _Place("nas.cost.__main__", "Count parameters, multiply-adds and peak memory."),
    "space": _Place("nas.space.__main__", "Inspect, sample and validate search spaces."),
    "scale": _Place("nas.scale.__main__", "Make larger and smaller networks out of one."),
    "rank": _Place("nas.rank.__main__", "Tell how well an estimator ranks trained networks."),
    "analysis": _Place("analysis.__main__", "Draw fronts, populations and reports of runs."),
}
"""The commands by name. Their modules are imported when they are called."""


class _Commands(TyperGroup):
    """The commands, of which none is imported but the one whose words are completed."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names, in the order in which they are usually needed."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command that can tell what it does, and no more."""
        if cmd_name not in COMMANDS:
            return None
        return TyperCommand(cmd_name, help=COMMANDS[cmd_name].summary, callback=lambda: None)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that words begin with; it is asked for when words are completed."""
        if args[0] not in COMMANDS:
            raise MixnasError(unknown("command", args[0], COMMANDS))
        module = importlib.import_module(COMMANDS[args[0]].module)
        return args[0], typer.main.get_command(module.app), args[1:]


app = typer.Typer(
    cls=_Commands,
    help="Neural architecture search over the MixConv design space.",
    epilog="mixnas COMMAND --help tells more, and python -m nas.COMMAND is the same.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def _group() -> None:
    pass


def main() -> NoReturn:
    """Run a command as ``python -m nas.COMMAND`` does; complete words, or list the commands."""
    words = sys.argv[1:]
    if not words or words[0] not in COMMANDS or _COMPLETION in os.environ:
        cli.run(app, "mixnas", words or ["--help"])
    # The command finds its own words alone, as it does behind `python -m`.
    sys.argv = [f"mixnas {words[0]}", *words[1:]]
    own_packages_first()
    module = importlib.import_module(COMMANDS[words[0]].module)
    if words[0] == "analysis":
        module.main()
    cli.run(module.app, sys.argv[0])


if __name__ == "__main__":
    main()
