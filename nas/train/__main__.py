"""``python -m nas.train``: train a network in full."""

from __future__ import annotations

import dataclasses
import os
import shlex
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas import cli, defaults
from nas.document import Document, document_name, parse_document, validate
from nas.errors import DocumentError, MixnasError
from nas.files import RUNS, absolute_path, claim_folder, refuse_occupied, taken_folder
from nas.named import is_timm
from nas.spec import reference_names
from nas.train.recipe import Recipe, load_recipe
from nas.train.settings import (
    DEFAULT_RECIPE,
    ON_HELP,
    PRECISION_HELP,
    TrainingSettings,
    read_training_settings,
)
from nas.units import number_of

if TYPE_CHECKING:
    from filelock import FileLock

    from nas.latency import Device
    from nas.train.full_training import FullTraining
    from nas.train.placement import Placement

RECIPES = "experiments/recipes/*.yaml"
app = cli.new_app()


@app.command()
def train(
    network: Annotated[
        str | None,
        typer.Argument(help="Path of a spec, name of a reference network, or timm:NAME."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA", help=f"Data set, as for nas.search. [{TrainingSettings.data}]"
        ),
    ] = None,
    images_per_class: cli.ImagesPerClass = None,
    recipe: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=f"Training recipe, a YAML file such as {RECIPES}. "
            f"[{DEFAULT_RECIPE.epochs:g} epochs of {DEFAULT_RECIPE.optimiser}]",
        ),
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Override a value of the recipe, such as epochs=30; may be repeated.",
        ),
    ] = None,
    resolution: Annotated[
        int | None,
        typer.Option(
            min=8,
            max=2048,
            metavar="PIXELS",
            help="Side length of the images in pixels. [the network's own]",
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|timm:NAME",
            help="Weights to start from: a .safetensors file, or timm:NAME. [random]",
        ),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            metavar="timm:NAME",
            help="Network to distill from, as timm:NAME (see distill in the recipe). [none]",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, metavar="N", help=f"Random seed. [{TrainingSettings.seed}]")
    ] = None,
    on: Annotated[str, typer.Option(metavar="DEVICE", help=ON_HELP)] = "auto",
    precision: Annotated[str, typer.Option(metavar="PRECISION", help=PRECISION_HELP)] = "auto",
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile the network with torch.compile.")
    ] = False,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1024,
            metavar="N",
            help="Number of CPU threads for training. [one per usable core]",
        ),
    ] = None,
    reading: Annotated[
        str | None,
        typer.Option(
            metavar="MODE",
            help="Mode of reading image files: memory (decode once and keep), stream (decode as "
            f"needed), or auto. [{TrainingSettings.reading}]",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Number of processes that decode streamed images. [one per core]",
        ),
    ] = None,
    device: Annotated[
        str,
        typer.Option(metavar="DEVICE", help="Device to measure latency on at the end, or 'none'."),
    ] = defaults.DEVICE,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Folder to create. [runs/train-NAME-TIME]")
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder of a training run to resume, with its own settings; --data names a data "
            "set that was moved.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help=cli.JSON_HELP)] = False,
) -> None:
    """Train a network in full, and write its weights, log, learning curves and results to a folder.

    An interrupted run can be resumed from its checkpoint. The test split is evaluated only once, at
    the end.
    """
    import torch

    from nas.latency import open_device
    from nas.machine import usable_cores
    from nas.train.components import open_training

    options = {
        "network": network,
        "data": data,
        "images_per_class": images_per_class,
        "seed": seed,
        "resolution": resolution,
        "weights": weights,
        "teacher": teacher,
        "reading": reading,
    }
    given = {name: value for name, value in options.items() if value is not None}
    if resume is not None:
        settings = _resumed_settings(resume, given, {"recipe": recipe, "set": change, "out": out})
    elif network is None:
        raise MixnasError(
            "no network was given; name one: path of a spec, name of a reference network, or "
            "timm:NAME"
        )
    else:
        settings = _checked_settings({**given, "recipe": _read_recipe(recipe, change)})
    latency_device = None if device == "none" else open_device(device)
    console = cli.error_console()
    torch.set_num_threads(threads or usable_cores())
    with _claimed(resume, out, settings.network) as (path, lock):
        training = open_training(
            path=path,
            settings=settings,
            open_placement=_placement_opener(on, precision, compiled),
            workers=workers,
            new=resume is None,
            console=console,
            lock=lock,
        )
    placement = training.trainer.placement
    if placement.main and console.is_terminal:
        console.print(f"folder: {path}", soft_wrap=True)
    card = _train(training, latency_device)
    if not placement.main:
        return
    _print_card(card, training, json)


def _read_recipe(path: Path | None, changes: list[str] | None) -> Recipe:
    """Read the recipe, or take the default one, and apply the changes of ``--set``."""
    values: dict[str, Any] = {}
    for text in changes or []:
        key, equals, value = text.partition("=")
        if not equals:
            raise MixnasError(f"--set {text}: expected NAME=VALUE, such as epochs=30")
        try:
            content = parse_document(value or "null", "--set").data
            values[key.strip().replace("-", "_")] = content
        except DocumentError:
            raise MixnasError(f"--set {text}: the value '{value}' is not valid YAML") from None
    if path is not None:
        return load_recipe(path, values)
    return validate(Recipe, Document("--set", {**dataclasses.asdict(DEFAULT_RECIPE), **values}))


def _checked_settings(values: dict[str, Any]) -> TrainingSettings:
    """Validate the options, with absolute paths: a training may be resumed from anywhere."""
    named = {"network": reference_names(), "data": defaults.DATA_SETS, "weights": ()}
    for option, names in named.items():
        if option in values:
            values[option] = _absolute(values[option], names)
    values["recipe"] = dataclasses.asdict(values["recipe"])
    values["command"] = shlex.join(["python", "-m", "nas.train", *sys.argv[1:]])
    return validate(TrainingSettings, Document("options", values))


def _resumed_settings(
    path: Path, given: Mapping[str, Any], others: Mapping[str, Any]
) -> TrainingSettings:
    """Return the settings of a training to resume; only its data set may have another place.

    Raises:
        MixnasError: If anything else was given, or the folder holds no training.
    """
    superfluous = [*(given.keys() - {"data"}), *(name for name, value in others.items() if value)]
    if superfluous:
        raise MixnasError(
            "--resume uses the settings the training run was started with; omit "
            f"{', '.join(sorted(superfluous))}"
        )
    settings = read_training_settings(path)
    if "data" not in given:
        return settings
    # The fingerprint of its images must be the same.
    return dataclasses.replace(settings, data=_absolute(given["data"], defaults.DATA_SETS))


def _absolute(value: str, names: Collection[str]) -> str:
    """Return an existing path in absolute form; names, and anything else, stay as they are."""
    if not value or is_timm(value):
        return value
    return absolute_path(value, names)


def _short_name(network: str) -> str:
    return network.rpartition(":")[2] if is_timm(network) else document_name(network)


@contextmanager
def _claimed(
    resume: Path | None, out: Path | None, network: str
) -> Iterator[tuple[Path, FileLock | None]]:
    """Take the folder of a training, before anything that takes long.

    Of the processes of `accelerate launch`, the main one does. If the block fails, a new folder is
    removed again.

    Yields:
        The folder, and its lock.
    """
    name = f"train-{_short_name(network)}"
    if int(os.environ.get("RANK", "0")) > 0:
        # A new folder's name is the main process's affair; nothing may be found under this one.
        yield resume or out or RUNS / f".{name}-of-the-main-process", None
    elif resume is not None:
        yield resume, claim_folder(resume)
    else:
        if out is not None:
            refuse_occupied(out, "resume it with --resume, or choose another --out")
        with taken_folder(out, name) as taken:
            yield taken


def _placement_opener(on: str, precision: str, compiled: bool) -> Callable[[int], Placement]:
    """Return a function that opens the placement for images of a side, in pixels."""
    from nas.train.placement import AcceleratePlacement, find_placement, open_placement
    from nas.train.settings import PlacementSettings

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:  # started by `accelerate launch`
        from accelerate import Accelerator

        # The placement handles precision, whatever the launcher was configured for.
        if on not in ("auto", "cpu", "cuda"):
            raise MixnasError(
                f"--on {on}: several processes take a GPU each; give auto, cpu or cuda"
            )
        accelerator = Accelerator(cpu=on == "cpu", mixed_precision="no")
        found = PlacementSettings(accelerator.device.type, precision)
        return lambda resolution: AcceleratePlacement(
            accelerator, found.precision_at(resolution), compiled
        )
    found = find_placement(on, precision)
    return lambda resolution: open_placement(found, resolution, compiled)


def _train(training: FullTraining, device: Device | None) -> dict[str, Any]:
    """Train to the end and return the card."""
    from nas.machine import machine_for
    from nas.train.loop import TrainingError

    console = cli.error_console()
    try:
        placement = training.trainer.placement
        # One lock for all processes: they wait for each other, and must not for a measurement.
        lock = machine_for("training", placement.device) if placement.main else nullcontext()
        with cli.progress_bar(console, "training") as step, lock:
            training.run(step)
        return training.finish(lambda: _measure_latency(training, device))
    except KeyboardInterrupt:
        if training.trainer.placement.main:
            command = shlex.join(["python", "-m", "nas.train", "--resume", str(training.path)])
            console.print(f"stopped; resume with: {command}", soft_wrap=True)
        raise
    except TrainingError as error:
        raise MixnasError(str(error)) from None


def _measure_latency(training: FullTraining, device: Device | None) -> dict[str, Any] | None:
    """Measure the trained network; a device that fails now must not lose the training."""
    from nas.latency import measure_quietly

    if device is None or training.model.spec is None:
        return None
    console = cli.error_console()
    try:
        with cli.progress_bar(console, f"examining {device.name}") as step:
            device.prepare(step)
        return measure_quietly(device, training.model.spec).to_dict()
    except MixnasError as error:
        console.print(f"latency was not measured: {error}", soft_wrap=True)
        return None


def _print_card(card: dict[str, Any], training: FullTraining, json: bool) -> None:
    from nas.units import format_count

    if json:
        cli.print_json(card)
        return
    measured = card["latency"]
    latency = "-"
    if measured is not None:
        latency = f"{measured['steady_ms']:.2f} ms ({measured['device']}, lowered, one image)"
    test, validation = card["test"], card["validation"]
    lines = {
        "test": f"{_percent(test['top1'])} top-1, {_percent(test['top5'])} top-5",
        "validation": f"{_percent(validation['top1'])} top-1, {_percent(validation['top5'])} top-5",
        "network": f"{format_count(card['params'])} parameters, "
        f"{format_count(card['madds'])} MAdds at {card['resolution']} px",
        "latency": latency,
        "training": f"{number_of(card['epochs'], 'epoch')} in {card['seconds']:.0f} s",
        "weights": card["weights"],
        "curves": training.path / "curves.png",
    }
    cli.print_text(card["network"])
    for name, text in lines.items():
        cli.print_text(f"  {name:<11} {text}")
    broken = getattr(training.trainer.source, "broken", ())
    if broken:
        first = next(iter(broken))
        cli.print_text(
            f"left out, since they cannot be read: {number_of(len(broken), 'image')} ({first}, ...)"
        )


def _percent(share: float) -> str:
    return f"{100 * share:.2f}%"


if __name__ == "__main__":
    cli.run(app)
