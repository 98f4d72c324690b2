"""Networks as models of OpenVINO, and as its files (IR: ``.xml`` with the graph, ``.bin`` beside).

OpenVINO reads our ONNX models. Weights stay as they are in the files; OpenVINO's own default would
round them to fp16. NNCF, which quantizes, takes seconds to import: that is done where it is used.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nas.formats.onnx import to_onnx
from nas.formats.quantization import calibration_images, quietly
from nas.imports import openvino_core, without_telemetry
from nas.ir import Node, Shape

INFO = "mixnas"
"""Section of a model's runtime information that holds its metadata."""


def to_openvino(
    tree: Node,
    shape: Shape,
    weights: Mapping[str, np.ndarray],
    name: str = "",
    properties: Mapping[str, str] | None = None,
) -> Any:
    """Return a layer tree with its weights as a model of OpenVINO.

    Args:
        tree: The network.
        shape: Shape of one image (C, H, W); height and width are fixed, the batch size is dynamic.
        weights: Weights by name, as in the state dict of the tree's torch module.
        name: Name of the model.
        properties: Metadata of the model, texts by name.

    Returns:
        An `openvino.Model`: ``images`` (batch, C, H, W) float32 -> ``logits`` (batch, classes).

    Raises:
        ModuleNotFoundError: If OpenVINO is not installed.
    """
    model = openvino_core().read_model(to_onnx(tree, shape, weights, name).SerializeToString())
    for key, value in (properties or {}).items():
        model.set_rt_info(value, [INFO, key])
    return model


def quantize(model: Any, shape: Shape, images: np.ndarray | None = None) -> Any:
    """Quantize weights (one scale per channel) and activations to 8 bits.

    Activations have a zero point of their own, since those of swish are hardly negative.

    Args:
        model: A model as returned by `to_openvino`.
        shape: Shape of one image (C, H, W).
        images: Inputs (N, C, H, W) to calibrate on, see `calibration_images`.

    Returns:
        Another `openvino.Model` with the same inputs, outputs and metadata.

    Raises:
        ModuleNotFoundError: If NNCF is not installed.
        Exception: If it cannot quantize the model; its exceptions share no other base.
    """
    without_telemetry()
    calibrated_on = calibration_images(images, shape)
    with quietly("nncf"):
        import nncf
        from nncf.quantization.range_estimator import RangeEstimatorParametersSet

        return nncf.quantize(
            model,
            nncf.Dataset([image[None] for image in calibrated_on]),
            subset_size=len(calibrated_on),
            target_device=nncf.TargetDevice.CPU,
            preset=nncf.QuantizationPreset.MIXED,
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX
            ),
        )


def save(model: Any, path: Path) -> None:
    """Write a model as IR.

    Args:
        model: An `openvino.Model`.
        path: The ``.xml`` file to write; the ``.bin`` file is written beside it.

    Raises:
        OSError: If they cannot be written.
    """
    import openvino

    try:
        openvino.save_model(model, path, compress_to_fp16=False)
    except RuntimeError as error:
        if "iostream" not in str(error):  # which is all that is said of a full disk
            raise
        raise OSError(errno.EIO, "OpenVINO cannot write its files", str(path)) from error
