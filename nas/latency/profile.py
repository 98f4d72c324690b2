"""What is known about a device: the speed of its reference network, and its fastest forms.

A profile belongs to one set of conditions and is kept in the user's cache.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from nas.document import digest
from nas.files import cache_folder, write_atomic
from nas.ir import MixConv, Shape, SqueezeExcite, conv_channels
from nas.latency.conditions import Conditions
from nas.lowering import Form, candidates, is_pointwise, usual_form

_CONFIG = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=_CONFIG)
class LayerSignature:
    """What the fastest form of a layer depends on.

    Attributes:
        kind: ``depthwise``, ``pointwise`` or ``gate``.
        channels: of its input.
        size: height of its input.
        kernel: the largest.
        stride: of the convolutions.
        groups: convolutions side by side.
        aligned: 1x1 slices that fill whole blocks of channels, or kernels all alike.
    """

    kind: str
    channels: int
    size: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    aligned: bool = True

    @staticmethod
    def of(node: MixConv | SqueezeExcite, shape: Shape) -> LayerSignature:
        """Describe a layer of a tree."""
        if isinstance(node, SqueezeExcite):
            return LayerSignature("gate", shape[0], shape[1])
        extents = [conv.extent for conv in node.convs]
        kind = "pointwise" if is_pointwise(node) else "depthwise"
        aligned = len(set(extents)) == 1
        if kind == "pointwise":
            aligned = usual_form(node) == "grouped"
        return LayerSignature(
            kind,
            conv_channels(node)[0],
            shape[1],
            max(extents),
            node.convs[0].stride,
            len(node.convs),
            aligned,
        )

    def distance(self, other: LayerSignature) -> float:
        """Return how unlike another layer is; infinite where nothing can be learned from it."""
        if (self.kind, self.aligned) != (other.kind, other.aligned):
            return math.inf
        if (self.stride > 1) != (other.stride > 1) or (self.groups > 1) != (other.groups > 1):
            return math.inf
        return (
            abs(math.log2(self.channels / other.channels))
            + 2 * abs(math.log2(self.size / other.size))
            + abs(self.kernel - other.kernel)
            + 0.25 * abs(self.groups - other.groups)
        )


@dataclass(frozen=True, config=_CONFIG)
class Finding:
    """A measured layer: times of its forms in units of the usual one's, and the form to take."""

    layer: LayerSignature
    best: str
    times: dict[str, float]


@dataclass(frozen=True, config=_CONFIG)
class DeviceProfile:
    """What is known about a device under certain conditions.

    Attributes:
        conditions: that it holds under.
        reference_ms: usual time of the reference network.
        findings: measured layers; chooses forms like `nas.lowering.FormChoice`.
    """

    conditions: Conditions
    reference_ms: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    findings: tuple[Finding, ...] = ()
    schema: Literal["mixnas.device/1"] = "mixnas.device/1"

    def _nearest(self, layer: LayerSignature) -> str | None:
        found = min(self.findings, key=lambda f: layer.distance(f.layer), default=None)
        if found is None or math.isinf(layer.distance(found.layer)):
            return None
        return found.best

    def form(self, mix: MixConv, shape: Shape) -> Form:
        """See `nas.lowering.FormChoice`: the form of the most similar layer that was measured."""
        forms, name = candidates(mix), self._nearest(LayerSignature.of(mix, shape))
        return forms[name if name in forms else usual_form(mix)]

    def wide_gate(self, se: SqueezeExcite, shape: Shape) -> bool:
        """See `nas.lowering.FormChoice`."""
        return self._nearest(LayerSignature.of(se, shape)) == "wide"

    def digest(self) -> str:
        """Name the time scale and the choice of forms."""
        best = [[asdict(finding.layer), finding.best] for finding in self.findings]
        return digest([self.reference_ms, best])

    def save(self) -> Path:
        """Keep it in the user's cache; return where."""
        path = _path(self.conditions)
        write_atomic(path, json.dumps(asdict(self), indent=1) + "\n")
        return path


def load_profile(conditions: Conditions) -> DeviceProfile | None:
    """Return the profile that was kept for conditions; None when there is none that fits."""
    path = _path(conditions)
    try:
        profile = TypeAdapter(DeviceProfile).validate_json(path.read_bytes())
    except (OSError, ValidationError):  # none yet, or of another version: it is made again
        return None
    return profile if profile.conditions == conditions else None


def _path(conditions: Conditions) -> Path:
    return cache_folder("devices") / f"{conditions.digest()}.json"
