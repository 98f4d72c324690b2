"""The formats in which the agent accepts models, and what is checked before a runtime sees one.

The server looks at the first bytes of a body only. The rest is checked in the worker process, which
may be stopped or crash.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class AcceptedFormat:
    """A format of models.

    Attributes:
        title: What a model in this format is called, with its article.
        head: Number of first bytes that `begins` looks at.
        begins: Tells whether a body with these first bytes may be in this format.
        checks: The module with `check_model`, in this package.
    """

    title: str
    head: int
    begins: Callable[[bytes], bool]
    checks: str

    def check(self, model: bytes) -> None:
        """Refuse a model that is damaged, or that reaches beyond itself.

        Raises:
            UnrunnableError: With the reason.
        """
        importlib.import_module(f"nas.latency.agent.{self.checks}").check_model(model)


def _begins_like_onnx(head: bytes) -> bool:
    # The tag of a field of ModelProto (onnx.proto): ir_version in the files of all known writers.
    return head[0] in b"\x08\x12\x1a\x22\x28\x32\x3a\x42\x72"


def _begins_like_tflite(head: bytes) -> bool:
    return head[4:8] == b"TFL3"  # after the offset of the root table (schema.fbs)


def _begins_like_ncnn(head: bytes) -> bool:
    return head == b"mixncnn1"  # our container of its two files (`nas.formats.ncnn_graph`)


ACCEPTED: Mapping[str, AcceptedFormat] = MappingProxyType(
    {
        "onnx": AcceptedFormat("an ONNX model", 1, _begins_like_onnx, "onnx_checks"),
        "tflite": AcceptedFormat(
            "a TensorFlow Lite model", 8, _begins_like_tflite, "tflite_checks"
        ),
        "ncnn": AcceptedFormat("an ncnn model", 8, _begins_like_ncnn, "ncnn_checks"),
    }
)
"""What the agent accepts, by the name of the format (see `nas.latency.runtimes.models`)."""
