"""Networks as TensorFlow Lite files with int8 arithmetic; the input and output stay float32."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import ai_edge_quantizer  # noqa: F401  # if it is missing, the command says so before it begins
from ai_edge_litert.interpreter import Interpreter

from nas.export.base import Export, Written
from nas.export.int8.judgement import Contender, judged, loading
from nas.export.writers.tflite_file import run_tflite
from nas.formats.tflite import to_tflite
from nas.formats.tflite_int8 import find_ranges, quantize
from nas.latency.runtimes.models import refusing


def write(export: Export, path: Path) -> Written:
    """Write a network as a TensorFlow Lite file for one image with int8 arithmetic."""
    spec = export.model.spec
    tree, weights = export.form

    @cache
    def plain(batch: int) -> bytes:
        return to_tflite(tree, spec.in_shape, weights, spec.name, export.properties, batch)

    ranges = find_ranges(plain(1), export.calibration)

    @cache
    def integers(batch: int) -> bytes:
        with refusing("quantized to int8"):
            return quantize(plain(batch), ranges)

    def open_plain(batch: int) -> Interpreter:
        return Interpreter(model_content=plain(batch))

    def open_file(batch: int) -> Interpreter:
        if batch == 1:
            return Interpreter(model_path=str(path))
        return Interpreter(model_content=integers(batch))

    path.write_bytes(integers(1))
    return judged(
        export,
        Contender(run_tflite(cache(open_plain)), len(plain(1)), loading(plain(1))),
        Contender(run_tflite(cache(open_file)), len(integers(1)), loading(integers(1))),
        "tflite-int8",
    )
