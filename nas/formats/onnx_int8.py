"""Quantisation of an ONNX model to int8, as ONNX Runtime runs it."""

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
        self._left: Iterator[dict[str, np.ndarray]] = iter([{name: b} for b in batches])

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next batch, or None."""
        return next(self._left, None)


def quantize(
    model: onnx.ModelProto, shape: Shape, images: list[np.ndarray] | None = None
) -> onnx.ModelProto:
    """Quantise weights (one scale a channel) and activations to 8 bits.

    Static quantisation with explicit quantise and dequantise nodes. Ranges of activations come
    from running `images` through the model.

    Args:
        model: as `nas.formats.onnx.to_onnx` writes it.
        shape: of one image.
        images: batches (N, C, H, W) of float32 like those it will see; noise if None, which does
            for speed and not for accuracy.
    """
    if images is None:
        rng = np.random.default_rng(0)
        noise = rng.standard_normal((CALIBRATION_BATCHES, 1, *shape), dtype=np.float32)
        images = list(noise)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        given, ready, done = (Path(folder) / f"{name}.onnx" for name in ("fp32", "ready", "int8"))
        onnx.save(model, str(given))  # models that are not files lose their small constants
        quant_pre_process(str(given), str(ready), skip_symbolic_shape=True)
        quantize_static(
            str(ready),
            str(done),
            _Images(model.graph.input[0].name, images),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
        )
        return onnx.load(str(done))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantiser's remarks on its own defaults away from the user."""
    logger: Any = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
