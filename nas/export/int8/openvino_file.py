"""Networks as files of OpenVINO (IR) with int8 arithmetic."""

from __future__ import annotations

import tempfile
from pathlib import Path

import nncf  # noqa: F401  # if it is missing, the command says so before it begins
import openvino

from nas.export.base import Export, Written
from nas.export.int8.judgement import Contender, judged
from nas.export.writers.openvino_file import opened, run_openvino
from nas.formats.openvino_ir import quantize, save
from nas.imports import openvino_core
from nas.latency.runtimes.models import refusing


def write(export: Export, path: Path) -> Written:
    """Write a network as an ``.xml`` and a ``.bin`` file with int8 arithmetic."""
    plain = opened(export)
    with refusing("quantized to int8"):
        save(quantize(plain, export.model.spec.in_shape, export.calibration), path)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        other = Path(folder) / path.name
        save(plain, other)
        size = _size(other)
    return judged(
        export,
        Contender(run_openvino(plain), size, lambda runtime: runtime.load_read(plain.clone())),
        Contender(run_openvino(path), _size(path), lambda runtime: runtime.load_read(_read(path))),
        "openvino-int8",
    )


def _read(path: Path) -> openvino.Model:
    return openvino_core().read_model(path)


def _size(path: Path) -> int:
    return path.stat().st_size + path.with_suffix(".bin").stat().st_size
