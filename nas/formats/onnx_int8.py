"""Static int8 quantization of ONNX models with ONNX Runtime."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from nas.formats.quantization import batches, calibration_images, quietly
from nas.ir import Shape


class _Images(CalibrationDataReader):  # type: ignore[misc]
    """Feeds batches of images to the calibration."""

    def __init__(self, name: str, images: np.ndarray) -> None:
        self._feeds: Iterator[Mapping[str, np.ndarray]] = (
            {name: batch} for batch in batches(images)
        )

    def get_next(self) -> Mapping[str, np.ndarray] | None:
        """Return the next batch by the name of the model's input, or None at the end."""
        return next(self._feeds, None)


def quantize(
    model: onnx.ModelProto, shape: Shape, images: np.ndarray | None = None
) -> onnx.ModelProto:
    """Quantize weights (one scale per channel) and activations to 8 bits.

    The result has explicit quantization and dequantization nodes. The ranges of the activations are
    found by running `images` through the model.

    Args:
        model: A model with one image input, as returned by `nas.formats.onnx.to_onnx`.
        shape: Shape of one image (C, H, W).
        images: Inputs to calibrate on, see `calibration_images`.
    """
    calibrated_on = calibration_images(images, shape)
    with tempfile.TemporaryDirectory() as folder, quietly():
        source, prepared, result = (
            Path(folder) / f"{name}.onnx" for name in ("fp32", "prepared", "int8")
        )
        onnx.save(model, str(source))  # a model passed in memory would lose its small constants
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(result),
            _Images(model.graph.input[0].name, calibrated_on),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
        )
        quantized = onnx.load(str(result))
    # The quantizer adds remarks of its own.
    onnx.helper.set_model_props(quantized, {p.key: p.value for p in model.metadata_props})
    return quantized
