"""Static int8 quantization of ONNX models with ONNX Runtime."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from nas.ir import Shape

CALIBRATION_BATCHES = 4


class _Images(CalibrationDataReader):  # type: ignore[misc]
    """Feeds batches of images to the calibration."""

    def __init__(self, name: str, batches: list[np.ndarray]) -> None:
        self._feeds: Iterator[dict[str, np.ndarray]] = iter([{name: batch} for batch in batches])

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next batch by the name of the model's input, or None at the end."""
        return next(self._feeds, None)


def quantize(
    model: onnx.ModelProto, shape: Shape, images: list[np.ndarray] | None = None
) -> onnx.ModelProto:
    """Quantize weights (one scale per channel) and activations to 8 bits.

    The result has explicit quantization and dequantization nodes. The ranges of the activations are
    found by running `images` through the model.

    Args:
        model: A model with one image input, as returned by `nas.formats.onnx.to_onnx`.
        shape: Shape of one image (C, H, W).
        images: Representative float32 batches (N, C, H, W). None for random noise, which is good
            enough to measure speed but not accuracy.
    """
    if images is None:
        rng = np.random.default_rng(0)
        noise = rng.standard_normal((CALIBRATION_BATCHES, 1, *shape), dtype=np.float32)
        images = list(noise)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        source, prepared, result = (
            Path(folder) / f"{name}.onnx" for name in ("fp32", "prepared", "int8")
        )
        onnx.save(model, str(source))  # a model passed in memory would lose its small constants
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(result),
            _Images(model.graph.input[0].name, images),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
        )
        return onnx.load(str(result))


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the quantizer's warnings about its own defaults."""
    logger: Any = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
