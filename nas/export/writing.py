"""Writing the files of an export, which are read again and compared with torch before they stay."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nas.errors import MixnasError, reason_of
from nas.export.base import Export, Written
from nas.export.parity import compare
from nas.export.registry import ABOUT, Format
from nas.export.timing import file_latency


def write_export(
    export: Export,
    file_format: Format,
    path: Path,
    facts: dict[str, Any],
    device: str | None = None,
) -> dict[str, Any]:
    """Write the files of a network, and a JSON file with the facts about them.

    They are written to a temporary folder and read again there by a tool that they are meant for.
    Only if its outputs agree with those of torch, all files take their places.

    Args:
        export: The network.
        file_format: The format.
        path: The file to write; others of the format, and the JSON file, are written beside it.
        facts: Facts for the JSON file.
        device: Device on which what was written is timed, if its runtime takes the format; None
            for none.

    Returns:
        The facts together with what the files were checked for.

    Raises:
        MixnasError: If the network cannot be written, or the outputs do not agree.
    """
    writer = file_format.writer()
    targets = file_format.files(path)
    with _naming(path):
        temporary = tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.")
    with temporary as name:
        folder = Path(name)
        with _naming(path):
            written = writer(export, folder / path.name)
        told = {"file": path.name, **facts, **_checked(export, written)}
        if device is not None:
            told |= file_latency(device, file_format, written, export.model.spec)
        about = folder / f"{path.name}{ABOUT}"
        with _naming(path):
            about.write_text(
                json.dumps({**told, **_what_it_is(export)}, indent=2), encoding="utf-8"
            )
            for target in (*targets[1:], path, path.with_name(about.name)):
                _take_place(folder / target.name, target)
    return told


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the file to write in the errors of a full disk, which do not say of which file."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise
    except RuntimeError as error:
        if "inline_container" not in str(error):  # of torch, where a file cannot be written
            raise
        raise MixnasError(f"{path} cannot be written: {reason_of(error)}") from None


def _checked(export: Export, written: Written) -> dict[str, Any]:
    """Compare what was written with torch; return what is told of it."""
    parity = compare(export.model, written.run, export.inputs)
    written.check(parity)
    return {
        "largest_relative_difference": parity.difference,
        "checked_images": parity.images,
        "same_class": parity.same_class,
        **written.facts,
    }


def _what_it_is(export: Export) -> dict[str, Any]:
    metadata = export.trained.metadata
    return {"spec": export.model.spec.to_dict()} if metadata is None else metadata.to_dict()


def _take_place(temporary: Path, path: Path) -> None:
    temporary.chmod(0o644)
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)
