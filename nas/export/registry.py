"""The formats that networks are exported to.

To add one, write a module with a function `write(export, path)` (see `nas.export.base.Writer`), and
list it in `FORMATS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from nas.errors import MixnasError, unknown

if TYPE_CHECKING:
    from nas.export.base import Writer

ABOUT = ".json"
"""Ending that is added to the name of a file for that of the facts beside it."""


@dataclass(frozen=True)
class Format:
    """A format that networks are exported to.

    Attributes:
        endings: How the names of its files end; that of the file to name on the command line first.
        module: Module with the function `write`, imported when it is needed.
        description: What it is and who reads it, a few words.
        extra: Extra of this package that writing it needs, besides ``search``.
        lowers: Whether a lowered network can be written.
        rule: Name of the rule by which it is lowered if no device tells the fastest form (see
            `nas.latency.deployment.SIMPLE_RULES`).
        channels_last: Whether the file takes images with the channels last.
        device: For a format with int8, the device of this machine that runs its files.
        model_format: Name of the format as runtimes have it (see `nas.latency.runtimes.models`, and
            `nas.latency.runtimes.base.ReadingRuntime`); None if no runtime takes it.
    """

    endings: tuple[str, ...]
    module: str
    description: str
    extra: str | None = None
    lowers: bool = True
    rule: str = "merged"
    channels_last: bool = False
    device: str | None = None
    model_format: str | None = None

    @property
    def int8(self) -> bool:
        """Whether it computes with int8, so that it is calibrated on images, and judged."""
        return self.device is not None

    @property
    def suffix(self) -> str:
        """How the file ends that is written if none is named."""
        return f".int8{self.endings[0]}" if self.int8 else self.endings[0]

    def writer(self) -> Writer:
        """Return the function that writes it.

        Raises:
            ModuleNotFoundError: If a package that it needs is not installed.
        """
        write: Writer = import_module(self.module).write
        return write

    def files(self, path: Path) -> tuple[Path, ...]:
        """Return the paths of the files of a network, `path` first.

        Raises:
            MixnasError: If there are several, and `path` does not end as it should.
        """
        first, *others = self.endings
        if others and not path.name.endswith(first):
            raise MixnasError(
                f"{path}: several files are written, whose names differ in their endings; let the "
                f"name end in {first}"
            )
        stem = path.name.removesuffix(first)
        beside = [path.with_name(f"{stem}{ending}") for ending in others]
        return path, *beside


FORMATS = {
    "onnx": Format(
        (".onnx",),
        "nas.export.writers.onnx_file",
        "ONNX, for ONNX Runtime and many others",
        model_format="onnx",
    ),
    "tflite": Format(
        (".tflite",),
        "nas.export.writers.tflite_file",
        "TensorFlow Lite, for LiteRT on phones and boards",
        extra="litert",
        rule="phases",
        channels_last=True,
        model_format="tflite",
    ),
    "ncnn": Format(
        (".ncnn.param", ".ncnn.bin"),
        "nas.export.writers.ncnn_file",
        "ncnn, on phones and boards; one image a run",
        extra="ncnn",
        model_format="ncnn",
    ),
    "openvino": Format(
        (".xml", ".bin"),
        "nas.export.writers.openvino_file",
        "OpenVINO's own files (IR)",
        extra="openvino",
        model_format="openvino",
    ),
    "onnx-int8": Format(
        (".onnx",),
        "nas.export.int8.onnx_file",
        "ONNX with int8 arithmetic",
        device="onnxruntime:cpu",
    ),
    "tflite-int8": Format(
        (".tflite",),
        "nas.export.int8.tflite_file",
        "TensorFlow Lite with int8 arithmetic",
        extra="int8",
        rule="phases",
        channels_last=True,
        device="litert:cpu",
    ),
    "openvino-int8": Format(
        (".xml", ".bin"),
        "nas.export.int8.openvino_file",
        "OpenVINO's own files with int8 arithmetic",
        extra="int8",
        device="openvino:cpu",
    ),
    "torch-export": Format(
        (".pt2",),
        "nas.export.writers.torch_export_file",
        "a program for torch.export.load and ExecuTorch",
        rule="phases",  # in ExecuTorch; for torch itself, --device torch:cpu finds the fastest
        model_format="torch",
    ),
    "pytorch": Format(
        (".py", ".pt"),
        "nas.export.writers.pytorch_file",
        "a Python file that needs torch only",
        model_format="torch",
    ),
    "timm": Format(
        ("_timm.py", "_timm.safetensors"),
        "nas.export.writers.timm_file",
        "architecture strings and weights for timm's builder",
        extra="timm",
        lowers=False,
    ),
    "darknet": Format(
        (".cfg", ".weights"),
        "nas.export.writers.darknet_file",
        "darknet, also for OpenCV's dnn",
        extra="darknet",
    ),
}


def find_format(name: str) -> Format:
    """Return a format by its name.

    Raises:
        MixnasError: If there is none of this name.
    """
    if name not in FORMATS:
        raise MixnasError(unknown("format", name, FORMATS))
    return FORMATS[name]


def format_lines() -> str:
    """Return the formats with what they are, a line each."""
    width = max(map(len, FORMATS)) + 2
    return "\n".join(
        f"{name:{width}}{found.description}"
        + (f" (needs mixnas[{found.extra}])" if found.extra else "")
        for name, found in FORMATS.items()
    )
