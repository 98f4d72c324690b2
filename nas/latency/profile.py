"""Device profiles: the usual speed of a device, and the forms of layers that are fastest on it.

A profile holds under one set of conditions and is saved in the user's cache.
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
from nas.lowering import Form, candidates, default_form, group_width, is_pointwise

_CONFIG = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=_CONFIG)
class LayerSignature:
    """The properties of a layer on which its fastest form depends.

    Attributes:
        kind: ``depthwise``, ``grouped`` (wider groups), ``pointwise`` or ``gate``
            (squeeze-and-excitation).
        channels: Number of input channels.
        size: Height of the input, in pixels.
        kernel: Largest kernel size.
        stride: Stride of the convolutions.
        groups: Number of parallel convolutions (kernel groups).
        aligned: For 1x1 convolutions, whether every slice fills whole blocks of channels; for
            others, whether all kernels have the same size.
        width: Channels per convolution group; 1 for depthwise and 1x1 convolutions and for gates.
    """

    kind: str
    channels: int
    size: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    aligned: bool = True
    width: int = 1

    @staticmethod
    def of(node: MixConv | SqueezeExcite, shape: Shape) -> LayerSignature:
        """Return the signature of a layer whose input has the given (C, H, W) shape."""
        if isinstance(node, SqueezeExcite):
            return LayerSignature(kind="gate", channels=shape[0], size=shape[1])
        extents = [conv.extent for conv in node.convs]
        if is_pointwise(node):
            kind, width, aligned = "pointwise", 1, default_form(node) == "grouped"
        else:
            width, aligned = group_width(node), len(set(extents)) == 1
            kind = "depthwise" if width == 1 else "grouped"
        return LayerSignature(
            kind=kind,
            channels=conv_channels(node)[0],
            size=shape[1],
            kernel=max(extents),
            stride=node.convs[0].stride,
            groups=len(node.convs),
            aligned=aligned,
            width=width,
        )

    def distance(self, other: LayerSignature) -> float:
        """Return the dissimilarity to another layer; infinite if their forms are unrelated."""
        if (self.kind, self.aligned, self.width) != (other.kind, other.aligned, other.width):
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
    """The measured forms of one layer.

    Attributes:
        layer: The layer.
        best: Name of the form to use.
        times: Time of each form by name, in units of the default form's time.
    """

    layer: LayerSignature
    best: str
    times: dict[str, float]


@dataclass(frozen=True, config=_CONFIG)
class DeviceProfile:
    """The speed and the fastest forms of a device; a `nas.lowering.FormChoice`.

    Attributes:
        conditions: Conditions under which the profile holds.
        reference_ms: Usual time of the reference network, in milliseconds.
        findings: Measured layers.
        schema: Name and version of the file format.
    """

    conditions: Conditions
    reference_ms: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    findings: tuple[Finding, ...] = ()
    schema: Literal["mixnas.device/1"] = "mixnas.device/1"

    def _nearest(self, layer: LayerSignature) -> str | None:
        nearest = min(self.findings, key=lambda f: layer.distance(f.layer), default=None)
        if nearest is None or math.isinf(layer.distance(nearest.layer)):
            return None
        return nearest.best

    def form(self, mix: MixConv, shape: Shape) -> Form:
        """Return the best form of the most similar measured layer; see `FormChoice`."""
        forms, name = candidates(mix), self._nearest(LayerSignature.of(mix, shape))
        return forms[name if name in forms else default_form(mix)]

    def wide_gate(self, se: SqueezeExcite, shape: Shape) -> bool:
        """Return whether the wide form was fastest for the most similar gate; see `FormChoice`."""
        return self._nearest(LayerSignature.of(se, shape)) == "wide"

    def digest(self) -> str:
        """Return a digest of the time scale and the choice of forms."""
        best = [[asdict(finding.layer), finding.best] for finding in self.findings]
        return digest([self.reference_ms, best])

    def save(self) -> Path:
        """Save the profile in the user's cache and return the file's path."""
        path = _path(self.conditions)
        write_atomic(path, json.dumps(asdict(self), indent=1) + "\n")
        return path


def load_profile(conditions: Conditions) -> DeviceProfile | None:
    """Return the saved profile for the given conditions, or None if there is none."""
    path = _path(conditions)
    try:
        profile = TypeAdapter(DeviceProfile).validate_json(path.read_bytes())
    except (OSError, ValidationError):  # missing, damaged or of another version
        return None
    return profile if profile.conditions == conditions else None


def _path(conditions: Conditions) -> Path:
    return cache_folder("devices") / f"{conditions.digest()}.json"
