"""``python -m nas.export``: write a network in the format of another tool."""

from __future__ import annotations

import dataclasses
import os
import tempfile
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas import cli
from nas.errors import MixnasError
from nas.export.accuracy import accuracy_facts, accuracy_remarks, accuracy_sentence
from nas.export.device import ExportDevice
from nas.export.form import export_form
from nas.export.int8 import CALIBRATION_IMAGES, MAX_LOSS
from nas.export.int8.table import int8_remarks, show_int8
from nas.export.registry import ABOUT, find_format, format_lines
from nas.export.timing import latency_sentence
from nas.files import is_built_in
from nas.spec import reference_names
from nas.train.settings import NETWORK, SETTINGS, SUPERNET, WEIGHTS

if TYPE_CHECKING:
    from nas.export.base import Export
    from nas.export.int8.request import Int8Request
    from nas.export.registry import Format
    from nas.export.trained import TrainedModel
    from nas.latency.conditions import MeasurementSettings, Precision

CHECKED_IMAGES = 16

app = cli.new_app()


@app.command(epilog=f"\b\nFormats:\n{textwrap.indent(format_lines(), '  ')}")
def export(
    network: Annotated[
        str,
        typer.Argument(
            help="Folder of a training run, path of a spec file, or name of a reference network."
        ),
    ],
    file_format: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="File format; they are listed below.")
    ] = "onnx",
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|supernet:RUN",
            help="File with trained weights, .safetensors; or supernet:RUN for the network's slice "
            "of the supernet of a search, by its run directory. [those of the training run, else "
            "random weights]",
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="File to write, or a folder for it. [NAME with the format's ending, next to the "
            "spec file, or in the folder of the training run]",
        ),
    ] = None,
    lowered: Annotated[
        bool,
        typer.Option(
            "--lowered", help="Lower the network first, to an equivalent that runs faster."
        ),
    ] = False,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="DEVICE",
            help="Device on which the network's fastest form is found (with --lowered), and that "
            "the file, or int8, is timed on. [a form that suits the format; this machine]",
        ),
    ] = None,
    threads: cli.DeviceThreads = None,
    interval: cli.DeviceInterval = None,
    calibration: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=100_000,
            metavar="N",
            help=f"Training images that the ranges of int8 are found on. [{CALIBRATION_IMAGES}]",
        ),
    ] = None,
    max_loss: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=100,
            metavar="POINTS",
            help="Percentage points of accuracy that int8 may lose; with more, no file is "
            f"written. [{MAX_LOSS:g}]",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="Data set of the training, for int8 and supernet:RUN. [the one that the run "
            "names]",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    json: Annotated[bool, typer.Option("--json", help=cli.JSON_HELP)] = False,
) -> None:
    """Export a network to the format of another tool, and check it against torch."""
    chosen = find_format(file_format)
    path = _path_for(network, chosen.suffix)
    if out is not None:
        names_folder = out.endswith(("/", os.sep)) or Path(out).is_dir()
        path = Path(out) / path.name if names_folder else Path(out)
    files = (*chosen.files(path), path.with_name(f"{path.name}{ABOUT}"))
    # What is cheap to check comes first: the options, then whatever has to be imported or opened.
    # Only then are data sets read, and last of all is anything timed.
    _refuse_in_the_way(files, force, _sources(network, weights))
    used = data if weights is None or not weights.startswith(SUPERNET) else None
    _refuse_without_effect(file_format, lowered, device, calibration, max_loss, used)
    settings = _settings(chosen, device, threads, interval)
    chosen.writer()
    from nas.export.writing import write_export

    named = device is not None
    timed = ExportDevice(chosen, device, lowered, settings) if named or chosen.int8 else None
    found = _find(network, weights, data)
    if chosen.int8:
        request = _request(found.trained, data, calibration, max_loss)
        found = dataclasses.replace(found, int8=dataclasses.replace(request, device=timed))
    found, shown = _with_images(found, chosen.channels_last)
    trained = found.trained
    if timed is not None:
        timed.ask()
    precision: Precision = "int8" if chosen.int8 else "fp32"
    form = export_form(trained.spec, lowered, timed if named else None, chosen.rule, precision)
    prepared = dataclasses.replace(found, choice=form.choice)
    with cli.progress_bar(cli.error_console(), "comparing int8 with fp32") as step:
        if prepared.int8 is not None:
            request = dataclasses.replace(prepared.int8, step=step)
            prepared = dataclasses.replace(prepared, int8=request)
        known = {
            "format": file_format, "lowered": lowered, **form.facts, "checked_on": shown,
            **accuracy_facts(trained),
        }  # fmt: skip
        facts = write_export(prepared, chosen, path, known, None if chosen.int8 else timed)
    if json:
        told = {"files": list(map(str, files)), "trained": trained.weights is not None}
        cli.print_json({"path": str(path), **told, **facts})
    else:
        difference = facts["largest_relative_difference"]
        cli.print_text(f"{path}: outputs within {difference:.1e} of torch's")
        for sentence in filter(None, (accuracy_sentence(facts), form.sentence)):
            cli.print_text(sentence)
        if "file_latency" in facts:
            cli.print_text(latency_sentence(path, facts["file_latency"]))
        for file in files[1:-1]:
            cli.print_text(f"{file}: belongs to it; keep the two in one folder")
        classes = "" if trained.metadata is None else ", its classes and how to prepare images"
        cli.print_text(f"{files[-1]}: the network{classes}")
        if "bflops" in facts:
            cli.print_text(f"{facts['bflops']:.3f} BFLOPs, as darknet counts convolutions")
        if chosen.int8:
            show_int8(facts["int8"], f"{trained.spec.name or path.name}: {file_format}")
    untimed = named and not chosen.int8 and "file_latency" not in facts
    remarks = [f"{device} takes no files of this format, so it was not timed"] if untimed else []
    for remark in _remarks(prepared, facts, remarks):
        cli.error_console().print(remark, soft_wrap=True)


def _sources(network: str, weights: str | None) -> list[Path]:
    """Return the files that are exported, as far as they are there."""
    given = Path(network)
    files = [given, *(given / name for name in (NETWORK, WEIGHTS, SETTINGS))]
    return [file for file in (*files, *([Path(weights)] if weights else ())) if file.is_file()]


def _refuse_in_the_way(files: Sequence[Path], force: bool, sources: Iterable[Path]) -> None:
    """Refuse to write files that exist, or in a folder where that cannot be done.

    Args:
        files: The files, all of one folder.
        force: Whether existing files are replaced; folders and what is exported never are.
        sources: What is exported.
    """
    folder = files[0].parent
    if not folder.is_dir():
        raise MixnasError(f"the folder {folder} does not exist; create it or choose another --out")
    kept = [source.resolve() for source in sources]
    for file in files:
        if file.is_dir():
            raise MixnasError(f"{file} is a folder; choose another --out")
        if file.resolve() in kept:
            raise MixnasError(f"{file} is what is exported; choose another --out")
        if file.exists() and not force:
            raise MixnasError(
                f"{file} already exists; choose another --out, or replace it with --force"
            )
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=f".{files[0].name}."):
            pass
    except OSError as error:
        raise MixnasError(
            f"no file can be written to the folder {folder} ({error.strerror}); choose another "
            "--out"
        ) from None


def _refuse_without_effect(
    file_format: str,
    lowered: bool,
    device: str | None,
    calibration: int | None,
    max_loss: float | None,
    data: str | None,
) -> None:
    """Refuse options that have no effect on a format."""
    chosen = find_format(file_format)
    if device is not None and not (lowered or chosen.int8 or chosen.model_format):
        raise MixnasError(
            f"--device {device} has no effect, since no device takes files of --format "
            f"{file_format}; leave it out"
        )
    if lowered and not chosen.lowers:
        raise MixnasError(f"--format {file_format} has no lowered networks; leave out --lowered")
    for option, value in (
        ("--calibration", calibration),
        ("--max-loss", None if max_loss is None else f"{max_loss:g}"),
        ("--data", data),
    ):
        if value is not None and not chosen.int8:
            raise MixnasError(
                f"{option} {value} only has an effect on int8 formats, such as onnx-int8; leave it "
                "out"
            )


def _settings(
    chosen: Format, device: str | None, threads: int | None, interval: str | None
) -> MeasurementSettings:
    """Return how latency is measured.

    Raises:
        MixnasError: If no latency is measured, or the interval is not a time or is too long.
    """
    from nas.latency.conditions import measurement_settings

    given = {"--threads": threads, "--interval": interval}
    for option, value in given.items():
        if value is not None and device is None and not chosen.int8:
            raise MixnasError(f"{option} {value} only has an effect with --device; leave it out")
    return measurement_settings(threads, 1, "fp32", lowered=True, interval=interval or "0ms")


def _request(
    trained: TrainedModel, data: str | None, calibration: int | None, max_loss: float | None
) -> Int8Request:
    """Return how to quantize a network, and tell the user."""
    from nas.export.int8.request import request_for

    request = request_for(trained, data, calibration or CALIBRATION_IMAGES)
    return dataclasses.replace(request, max_loss=MAX_LOSS if max_loss is None else max_loss)


def _find(network: str, weights: str | None, data: str | None) -> Export:
    """Return what is to be written."""
    from nas.export.base import Export
    from nas.export.trained import find_trained
    from nas.torch_model import build, load_weights

    trained = find_trained(network, weights, data)
    model = build(trained.spec, seed=0)
    if trained.weights is not None:
        load_weights(model, trained.weights)
    return Export(model, trained)


def _with_images(found: Export, channels_last: bool) -> tuple[Export, str]:
    """Return what is to be written with the images that it is checked on, and their name."""
    from nas.export.trained import images_for

    trained = found.trained
    images, shown = images_for(trained, CHECKED_IMAGES) or (None, "random noise")
    if trained.metadata is not None and channels_last:
        trained = dataclasses.replace(trained, metadata=trained.metadata.channels_last())
    return dataclasses.replace(found, trained=trained, images=images), shown


def _path_for(network: str, suffix: str) -> Path:
    """Return the file to write unless another one is named."""
    path = Path(network)
    if is_built_in(network, reference_names(), "network"):
        return Path(f"{network}{suffix}")
    if path.is_dir():
        return path / f"network{suffix}"
    if path.suffix in (".yaml", ".yml", ".json"):
        return path.with_name(f"{path.stem}{suffix}")
    return path.with_name(f"{path.name}{suffix}")  # a dot in a name such as v1.2 begins no suffix


def _remarks(export: Export, facts: Mapping[str, Any], others: Iterable[str]) -> list[str]:
    found = export.trained
    remarks = [*found.remarks, *accuracy_remarks(facts), *others]
    if found.weights is None:
        remarks.append("the weights are random; use --weights FILE to export trained ones")
    if export.int8 is not None:
        remarks += [*export.int8.remarks, *int8_remarks(facts["int8"])]
    return [f"note: {remark}" for remark in remarks]


if __name__ == "__main__":
    cli.run(app)
