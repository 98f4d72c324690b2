"""``python -m nas.train``: train a network in full, or several in the same way."""

from __future__ import annotations

import dataclasses
import os
import shlex
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas import cli, defaults
from nas.document import Document, document_name, validate
from nas.errors import MixnasError
from nas.files import RUNS, absolute_path, claim_folder, refuse_occupied, taken_folder
from nas.named import is_timm
from nas.spec import reference_names
from nas.train.recipe import RECIPES
from nas.train.settings import (
    DEFAULT_RECIPE,
    ON_HELP,
    PRECISION_HELP,
    SUPERNET,
    TrainingSettings,
    chosen_recipe,
    read_training_settings,
)
from nas.train.zoo.settings import ZOO, ZooSettings, check_networks, is_zoo, read_zoo_settings
from nas.units import number_of

if TYPE_CHECKING:
    from filelock import FileLock

    from nas.train.components import Session
    from nas.train.full_training import FullTraining

app = cli.new_app()


@app.command()
def train(
    networks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NETWORK]...",
            help="Path of a spec, name of a reference network, or timm:NAME; several are trained "
            "one after another, and compared in a table and a figure.",
        ),
    ] = None,
    zoo: Annotated[
        bool,
        typer.Option("--zoo", help=f"Train and compare {len(ZOO)} networks: {', '.join(ZOO)}."),
    ] = False,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA", help=f"Data set, as for nas.search. [{TrainingSettings.data}]"
        ),
    ] = None,
    images_per_class: cli.ImagesPerClass = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help=f"Training recipe: {', '.join(RECIPES)}, or a YAML file. "
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
    resolution: cli.Resolution = None,
    activation: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Activation function to put in place of the network's own ones, such as mish.",
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|supernet:RUN|timm:NAME",
            help="Weights to start from: a .safetensors file; supernet:RUN for the network's slice "
            "of the supernet of a search, by its run directory; or timm:NAME. [random]",
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

    from nas.accuracy.weights import find_weights
    from nas.latency import open_device
    from nas.machine import usable_cores
    from nas.train.components import Session
    from nas.train.placement import placement_opener

    named = networks or []
    options = {
        "networks": named + [name for name in ZOO if zoo and name not in named] or None,
        "data": data,
        "images_per_class": images_per_class,
        "seed": seed,
        "resolution": resolution,
        "activation": activation,
        "weights": weights,
        "teacher": teacher,
        "reading": reading,
    }
    given = {name: value for name, value in options.items() if value is not None}
    if resume is not None:
        settings = _resumed_settings(resume, given, {"recipe": recipe, "set": change, "out": out})
    else:
        settings = _checked_settings({**given, "recipe": chosen_recipe(recipe, change or ())})
    latency_device = None if device == "none" else open_device(device)
    torch.set_num_threads(threads or usable_cores())
    session = Session(
        open_placement=placement_opener(on, precision, compiled),
        workers=workers,
        device=latency_device,
        console=cli.error_console(),
        find_weights=find_weights,
    )
    if isinstance(settings, ZooSettings):
        _train_several(settings, session, resume, out, json)
    else:
        _train_one(settings, session, resume, out, json)


def _train_one(
    settings: TrainingSettings, session: Session, resume: Path | None, out: Path | None, json: bool
) -> None:
    """Train one network and print its card."""
    with _claimed(resume, out, f"train-{_short_name(settings.network)}") as (path, lock):
        training = session.open(path, settings, new=resume is None, lock=lock)
    main = training.trainer.placement.main
    if main and session.console.is_terminal:
        session.console.print(f"folder: {path}", soft_wrap=True)
    card = session.train(training, resumable=path)
    if main:
        _print_card(card, training, json)


def _train_several(
    settings: ZooSettings, session: Session, resume: Path | None, out: Path | None, json: bool
) -> None:
    """Train several networks and print the table of their results.

    Raises:
        MixnasError: If none of them could be trained.
    """
    from nas.data import load_data
    from nas.train.sources import announce
    from nas.train.zoo.results import print_results
    from nas.train.zoo.run import Zoo, check_shared

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise MixnasError(
            "several networks are trained by one process; call accelerate launch for each of them"
        )
    check_shared(settings)
    with _claimed(resume, out, "train-zoo") as (path, lock):
        settings.save(path)
    zoo = Zoo(path, settings.trainings(), lock)
    console = session.console
    announce(load_data(settings.data, settings.images_per_class), console)

    def train_next(folder: Path, training: TrainingSettings) -> dict[str, Any]:
        opened = session.open(folder, training, new=False, quiet=True)
        return session.train(opened, resumable=path)

    table = zoo.run(train_next, lambda text: console.print(text, soft_wrap=True))
    print_results(table, path, json)
    if table["top1"].isna().all():
        raise MixnasError(f"none of the networks was trained; {path / 'zoo.csv'} says why")


def _checked_settings(values: dict[str, Any]) -> TrainingSettings | ZooSettings:
    """Validate the options, with absolute paths: a training may be resumed from anywhere.

    Raises:
        MixnasError: If there is no network, or an option is not valid.
    """
    if "networks" not in values:
        raise MixnasError(
            "no network was given; name one: path of a spec, name of a reference network, or "
            "timm:NAME"
        )
    networks = [_absolute(name, reference_names()) for name in values.pop("networks")]
    for option, names in {"data": defaults.DATA_SETS, "weights": ()}.items():
        if option in values:
            values[option] = _absolute(values[option], names)
    values["recipe"] = dataclasses.asdict(values["recipe"])
    values["command"] = shlex.join(["python", "-m", "nas.train", *sys.argv[1:]])
    if len(networks) == 1:
        values["network"] = networks[0]
        return validate(TrainingSettings, Document("options", values))
    if "weights" in values:
        raise MixnasError("--weights are those of one network; name one network, or omit --weights")
    check_networks(networks)
    return validate(ZooSettings, Document("options", {**values, "networks": networks}))


def _resumed_settings(
    path: Path, given: Mapping[str, Any], others: Mapping[str, Any]
) -> TrainingSettings | ZooSettings:
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
    settings = read_zoo_settings(path) if is_zoo(path) else read_training_settings(path)
    if "data" not in given:
        return settings
    # The fingerprint of its images must be the same.
    return dataclasses.replace(settings, data=_absolute(given["data"], defaults.DATA_SETS))


def _absolute(value: str, names: Collection[str]) -> str:
    """Return an existing path in absolute form; names, and anything else, stay as they are."""
    if value.startswith(SUPERNET):
        return f"{SUPERNET}{absolute_path(value.removeprefix(SUPERNET), names)}"
    if not value or is_timm(value):
        return value
    return absolute_path(value, names)


def _short_name(network: str) -> str:
    return network.rpartition(":")[2] if is_timm(network) else document_name(network)


@contextmanager
def _claimed(
    resume: Path | None, out: Path | None, name: str
) -> Iterator[tuple[Path, FileLock | None]]:
    """Take the folder of a training, before anything that takes long.

    Of the processes of `accelerate launch`, the main one does. If the block fails, a new folder is
    removed again.

    Args:
        resume: Folder to resume in; None for a new one.
        out: Folder to create; None for one below ``runs/``.
        name: What that is called, before the time.

    Yields:
        The folder, and its lock.
    """
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


def _print_card(card: dict[str, Any], training: FullTraining, json: bool) -> None:
    from nas.train.full_training import has_top5
    from nas.units import format_count

    if json:
        cli.print_json(card)
        return
    measured = card["latency"]
    latency = "-"
    if measured is not None:
        latency = f"{measured['steady_ms']:.2f} ms ({measured['device']}, lowered, one image)"
    shown = {"top1": "top-1", "top5": "top-5"} if has_top5(card) else {"top1": "top-1"}
    accuracies = {
        part: ", ".join(f"{card[part][key]:.2%} {name}" for key, name in shown.items())
        for part in ("test", "validation")
    }
    lines = accuracies | {
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


if __name__ == "__main__":
    cli.run(app)
