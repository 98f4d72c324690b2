"""Networks as ONNX files with int8 arithmetic, in explicit quantization (QDQ)."""

from __future__ import annotations

from pathlib import Path

from nas.export.base import Export, Written
from nas.export.int8.judgement import Contender, judged, loading
from nas.export.writers.onnx_file import run_onnx
from nas.formats.onnx import to_onnx
from nas.formats.onnx_int8 import quantize
from nas.latency.runtimes.models import refusing


def write(export: Export, path: Path) -> Written:
    """Write a network as an ONNX file with int8 arithmetic."""
    spec = export.model.spec
    tree, weights = export.form
    model = to_onnx(tree, spec.in_shape, weights, spec.name, export.properties)
    with refusing("quantized to int8"):
        quantized = quantize(model, spec.in_shape, export.calibration)
    plain, integers = model.SerializeToString(), quantized.SerializeToString()
    path.write_bytes(integers)
    return judged(
        export,
        Contender(run_onnx(plain), len(plain), loading(plain)),
        Contender(run_onnx(path), len(integers), loading(integers)),
        "onnx-int8",
    )
