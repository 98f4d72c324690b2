"""Writing the files of an export, which are read again and compared with torch before they stay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nas.export.base import Export, Written
from nas.export.device import ExportDevice
from nas.export.parity import compare
from nas.export.registry import ABOUT, Format
from nas.export.timing import file_latency
from nas.files import written_together


def write_export(
    export: Export,
    file_format: Format,
    path: Path,
    facts: dict[str, Any],
    device: ExportDevice | None = None,
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
    about = path.with_name(f"{path.name}{ABOUT}")
    # The file that the user names comes last, since it is the one that readers begin with.
    with written_together(*file_format.files(path)[1:], about, path) as folder:
        written = writer(export, folder / path.name)
        told = {"file": path.name, **facts, **_checked(export, written)}
        if device is not None:
            told |= file_latency(device, written, export.model.spec)
        text = json.dumps({**told, **_what_it_is(export)}, indent=2)
        (folder / about.name).write_text(text, encoding="utf-8")
    return told


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
