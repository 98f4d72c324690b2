"""Runtimes by name.

They are imported on first use because they are slow to load.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from nas.errors import MixnasError, unknown
from nas.imports import extra_of, top_package
from nas.latency.conditions import MeasurementSettings
from nas.latency.runtimes.base import Program, Runtime, TimedRun


@dataclass(frozen=True)
class Family:
    """A runtime with all its processors.

    Attributes:
        module: The module that implements it, in this package.
        cls: Its class in the module.
        extra: The extra of this package that installs what it needs.
        examples: Names of devices.
        model_format: Name of the format of the models that it takes (see
            `nas.latency.runtimes.models`); None if it runs layer trees only.
        options: Further arguments of the class.
    """

    module: str
    cls: str
    extra: str
    examples: tuple[str, ...]
    model_format: str | None
    options: Mapping[str, Any] = field(default_factory=dict)

    def open(self, name: str, processor: str, settings: MeasurementSettings) -> Runtime:
        """Return the runtime on a processor.

        Args:
            name: Name of the device, for messages.
            processor: Name of the processor.
            settings: Settings of the measurements.

        Raises:
            MixnasError: If a package that it needs is not installed, or if it does not support the
                processor or the settings.
        """
        try:
            module = importlib.import_module(f"nas.latency.runtimes.{self.module}")
            runtime: Runtime = getattr(module, self.cls)(
                processor,
                threads=settings.threads,
                batch=settings.batch,
                precision=settings.precision,
                **self.options,
            )
        except ModuleNotFoundError as error:
            package = top_package(error)
            if package in ("", "nas"):  # a fault of ours, not a package that can be installed
                raise
            extra = f"{self.extra},int8" if extra_of(package) == "int8" else self.extra
            precision = f" with {settings.precision}" if extra != self.extra else ""
            raise MixnasError(
                f"device '{name}'{precision} needs the package '{package}', which is not "
                f"installed; install it with pip install 'mixnas[{extra}]'"
            ) from error
        return runtime


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "onnxruntime": Family(
            "onnxruntime_runtime", "OnnxRuntime", "onnxruntime", ("onnxruntime:cpu",), "onnx"
        ),
        "openvino": Family("openvino_runtime", "OpenVino", "openvino", ("openvino:cpu",), "onnx"),
        "litert": Family("litert_runtime", "LiteRT", "litert", ("litert:cpu",), "tflite"),
        "ncnn": Family("ncnn_runtime", "Ncnn", "ncnn", ("ncnn:cpu",), "ncnn"),
        "torch": Family(
            "torch_runtime",
            "Torch",
            "search",
            ("torch:cpu", "torch:cuda"),
            None,
            {"compiled": False},
        ),
        "compile": Family(
            "torch_runtime", "Torch", "search", ("compile:cpu",), None, {"compiled": True}
        ),
    }
)
"""The runtimes, by the first part of a device's name."""
EXAMPLES = ", ".join(
    [*(example for family in FAMILIES.values() for example in family.examples), "http://HOST:PORT"]
)
"""Names of devices, as help texts and messages show them."""


def open_runtime(name: str, settings: MeasurementSettings) -> Runtime:
    """Return a runtime on this machine.

    Args:
        name: Runtime and processor, such as ``onnxruntime:cpu``; for ONNX Runtime, the processor
            is the short name of an execution provider.
        settings: Settings of the measurements.

    Raises:
        MixnasError: If the runtime does not exist, is not installed, or does not support the
            settings.
    """
    family, _, processor = name.partition(":")
    if family not in FAMILIES:
        raise MixnasError(f"{unknown('device', name, FAMILIES)}; examples: {EXAMPLES}")
    if not processor:
        raise MixnasError(
            f"device '{name}' does not name a processor; write RUNTIME:PROCESSOR, for example one "
            f"of {EXAMPLES}"
        )
    return FAMILIES[family].open(name, processor, settings)


__all__ = ["EXAMPLES", "FAMILIES", "Family", "Program", "Runtime", "TimedRun", "open_runtime"]
