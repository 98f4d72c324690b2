"""``python -m nas.train``: train a network in full."""

from __future__ import annotations

import dataclasses
import datetime
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from nas import cli
from nas.errors import MixnasError

if TYPE_CHECKING:
    from nas.latency import Device
    from nas.train.components import TrainingSettings
    from nas.train.full_training import FullTraining
    from nas.train.placement import Placement
    from nas.train.recipe import Recipe

app = cli.new_app(
    "Train a network in full: with checkpoints to go on from, a log and curves; at the end, one "
    "look at the test part."
)
RECIPES = "experiments/recipes/*.yaml"
PLAIN: dict[str, Any] = {"epochs": 30, "batch_size": 64, "learning_rate": 0.05, "warmup": 0.1}
"""What differs from the recipe of short trainings where none is given."""


@app.command()
def train(
    network: Annotated[
        str | None, typer.Argument(help="Path of a spec, a reference's name, or timm:NAME.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Data set, as of nas.search. [digits]")] = None,
    recipe: Annotated[
        Path | None, typer.Option(help=f"How to train: a YAML file, as {RECIPES}.")
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="Another value in the recipe, as epochs=30; may be repeated."),
    ] = None,
    resolution: Annotated[
        int | None, typer.Option(min=8, max=2048, help="Side of the images. [the network's own]")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="To start from: a .safetensors file, or timm:NAME.")
    ] = None,
    teacher: Annotated[
        str | None, typer.Option(help="To learn from as well: timm:NAME (recipe: distill).")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of everything random. [0]")] = None,
    on: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
    precision: Annotated[
        str, typer.Option(help="fp32, bf16, fp16, or auto: bf16 on CUDA.")
    ] = "auto",
    compiled: Annotated[bool, typer.Option("--compile", help="Use torch.compile.")] = False,
    threads: cli.Threads = None,
    reading: Annotated[
        str | None, typer.Option(help="Images from: memory, stream (from files), or auto. [auto]")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that decode streamed images. [one a core]")
    ] = None,
    device: Annotated[
        str, typer.Option(help="That latency is measured on at the end, or 'none'.")
    ] = "onnxruntime:cpu",
    out: Annotated[Path | None, typer.Option(help="Folder to make. [runs/train-NAME-TIME]")] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Folder of a training to go on with, as it was asked for.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help=cli.JSON_HELP)] = False,
) -> None:
    """Train a network, and leave its weights, its log and its card in a folder."""
    import torch

    from nas.latency import open_device
    from nas.machine import usable_cores
    from nas.train.components import open_training, read_training_settings

    asked = {
        "network": network,
        "data": data,
        "seed": seed,
        "resolution": resolution,
        "weights": weights,
        "teacher": teacher,
        "reading": reading,
    }
    given = {name: value for name, value in asked.items() if value is not None}
    if resume is not None:
        others = {"recipe": recipe, "set": change, "out": out}
        wrong = [*given, *(name for name, value in others.items() if value)]
        if wrong:
            raise MixnasError(
                f"--resume goes on with the folder's own settings; give no {', '.join(wrong)}"
            )
        path, settings = resume, read_training_settings(resume)
    elif network is None:
        raise MixnasError("give a network to train (a spec's path, a reference's name, timm:NAME)")
    else:
        settings = _settings({"data": "digits", **given, "recipe": _recipe(recipe, change)})
        path = out or _new_path(network)
    target = None if device == "none" else open_device(device)
    console = cli.error_console()
    torch.set_num_threads(threads or usable_cores())
    placement = _placement(on, precision, compiled)
    training = open_training(path, settings, placement, workers, resume is None, console)
    if placement.main and console.is_terminal:
        console.print(f"folder: {path}")
    card = _trained(training, target)
    if not placement.main:
        return
    if json:
        cli.print_json(card)
    else:
        _print(card, training)


def _recipe(path: Path | None, changes: list[str] | None) -> Recipe:
    from nas.document import Document, validate
    from nas.train.recipe import Recipe, load_recipe

    told: dict[str, Any] = {}
    for text in changes or []:
        key, equals, value = text.partition("=")
        if not equals:
            raise MixnasError(f"--set {text}: write NAME=VALUE, as epochs=30")
        try:
            told[key.strip().replace("-", "_")] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise MixnasError(f"--set {text}: '{value}' cannot be read") from None
    if path is not None:
        return load_recipe(path, told)
    found: Recipe = validate(Recipe, Document("--set", {**PLAIN, **told}))
    return found


def _settings(values: dict[str, Any]) -> TrainingSettings:
    """Check the options; paths become absolute, as a training may go on from another folder."""
    from nas.document import Document, validate
    from nas.train.components import TrainingSettings

    for name in ("network", "data", "weights"):
        if name in values and Path(values[name]).expanduser().exists():
            values[name] = str(Path(values[name]).expanduser().resolve())
    values["recipe"] = dataclasses.asdict(values["recipe"])
    found: TrainingSettings = validate(TrainingSettings, Document("options", values))
    return found


def _new_path(network: str) -> Path:
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    name = network.rpartition(":")[2] if network.startswith("timm:") else Path(network).stem
    return Path("runs") / f"train-{name}-{now}"


def _placement(on: str, precision: str, compiled: bool) -> Placement:
    import torch

    from nas.train.placement import AcceleratePlacement, Placement

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:  # started by `accelerate launch`
        from accelerate import Accelerator

        # Precision is the placement's matter, whatever the launcher was configured for.
        accelerator = Accelerator(cpu=on == "cpu", mixed_precision="no")
        cuda = accelerator.device.type == "cuda"
        return AcceleratePlacement(accelerator, _best_precision(precision, cuda), compiled)
    if on == "auto":
        on = "cuda" if torch.cuda.is_available() else "cpu"
    return Placement(on, _best_precision(precision, on.startswith("cuda")), compiled)


def _best_precision(precision: str, cuda: bool) -> str:
    return ("bf16" if cuda else "fp32") if precision == "auto" else precision


def _trained(training: FullTraining, device: Device | None) -> dict[str, Any]:
    from nas.machine import machine_for
    from nas.train.loop import TrainingError

    console = cli.error_console()
    try:
        with cli.progress_bar(console, "training") as step, machine_for("training"):
            training.run(step)
        return training.finish(lambda: _latency(training, device))
    except KeyboardInterrupt:
        if training.trainer.placement.main:
            console.print(f"stopped; go on with: python -m nas.train --resume {training.path}")
        raise
    except TrainingError as error:
        raise MixnasError(str(error)) from None


def _latency(training: FullTraining, device: Device | None) -> dict[str, Any] | None:
    """Measure the trained network; a device that fails now must not cost the training."""
    from nas.latency import measure_quietly

    if device is None or training.model.spec is None:
        return None
    console = cli.error_console()
    try:
        with cli.progress_bar(console, f"examining {device.name}") as step:
            device.prepare(step)
        return measure_quietly(device, training.model.spec).to_dict()
    except MixnasError as error:
        console.print(f"no latency: {error}", markup=False, soft_wrap=True)
        return None


def _print(card: dict[str, Any], training: FullTraining) -> None:
    from nas.units import format_count

    latency = card["latency"]
    shown = "-"
    if latency is not None:
        shown = f"{latency['steady_ms']:.2f} ms ({latency['device']}, lowered, one image)"
    test, validation = card["test"], card["validation"]
    lines = {
        "test": f"{_percent(test['top1'])} top-1, {_percent(test['top5'])} top-5",
        "validation": f"{_percent(validation['top1'])} top-1, {_percent(validation['top5'])} top-5",
        "network": f"{format_count(card['params'])} parameters, "
        f"{format_count(card['madds'])} MAdds at {card['resolution']} px",
        "latency": shown,
        "training": f"{card['epochs']} epochs in {card['seconds']:.0f} s",
        "weights": card["weights"],
        "curves": training.path / "curves.png",
    }
    print(card["network"])
    for name, text in lines.items():
        print(f"  {name:<11} {text}")
    broken = getattr(training.trainer.source, "broken", ())
    if broken:
        print(f"{len(broken)} images cannot be read and were left out, as {next(iter(broken))}")


def _percent(share: float) -> str:
    return f"{100 * share:.2f}%"


if __name__ == "__main__":
    cli.run(app)
