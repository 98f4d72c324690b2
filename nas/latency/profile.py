"""Device profiles: the usual speed of a device, and the forms of layers that are fastest on it.

A profile holds under one set of conditions and is saved in the user's cache.
"""

from __future__ import annotations

import bisect
import itertools
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
from nas.lowering import (
    MERGE_ALL,
    MOST_TAPS,
    Form,
    candidates,
    default_form,
    group_width,
    is_pointwise,
    trained_form,
)

CURVE_CHANNELS = 240
CURVE_SIZE = 14
SIMILAR = 4.0  # largest distance at which one layer tells which form is fastest for another
_PLACES = 24  # channels at which the kernels of two layers are compared
_CONFIG = ConfigDict(extra="forbid")
_Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, config=_CONFIG)
class LayerSignature:
    """The properties of a layer on which its fastest form depends.

    Attributes:
        kind: ``depthwise``, ``grouped`` (wider groups), ``pointwise`` or ``gate``
            (squeeze-and-excitation).
        channels: Number of input channels.
        size: Height of the input, in pixels.
        kernels: Pixels that the kernel of each parallel convolution spans, in channel order.
        shares: Share of the input channels of each, in thousandths.
        stride: Stride of the convolutions.
        width: Channels per convolution group; 1 for depthwise and 1x1 convolutions and for gates.
        dilated: Whether the taps of a kernel are apart, so that merging puts zeros between them.
        aligned: For 1x1 convolutions, whether every slice fills whole blocks of channels; True for
            others.
    """

    kind: str
    channels: _Count
    size: _Count
    kernels: Annotated[tuple[_Count, ...], Field(min_length=1)] = (1,)
    shares: tuple[Annotated[int, Field(ge=0)], ...] = (1000,)
    stride: _Count = 1
    width: _Count = 1
    dilated: bool = False
    aligned: bool = True

    def __post_init__(self) -> None:
        """Refuse what a damaged file says.

        Raises:
            ValueError: If there are not as many shares as kernels.
        """
        if len(self.kernels) != len(self.shares):
            raise ValueError(f"{len(self.kernels)} kernels, but {len(self.shares)} shares")

    @staticmethod
    def of(node: MixConv | SqueezeExcite, shape: Shape) -> LayerSignature:
        """Return the signature of a layer whose input has the given (C, H, W) shape."""
        if isinstance(node, SqueezeExcite):
            return LayerSignature(kind="gate", channels=shape[0], size=shape[1])
        channels = conv_channels(node)[0]
        kind, width, aligned = "pointwise", 1, default_form(node) == "grouped"
        if not is_pointwise(node):
            width, aligned = group_width(node), True
            kind = "depthwise" if width == 1 else "grouped"
        return LayerSignature(
            kind=kind,
            channels=channels,
            size=shape[1],
            kernels=tuple(max(conv.spans) for conv in node.convs),
            shares=tuple(round(1000 * conv.in_channels / channels) for conv in node.convs),
            stride=node.convs[0].stride,
            width=width,
            dilated=any(conv.dilation > 1 for conv in node.convs),
            aligned=aligned,
        )

    def distance(self, other: LayerSignature) -> float:
        """Return the dissimilarity to another layer; infinite if their forms are unrelated."""
        if self._kind() != other._kind():
            return math.inf
        return (
            abs(math.log2(self.channels / other.channels))
            + 2 * abs(math.log2(self.size / other.size))
            + abs(max(self.kernels) - max(other.kernels))
            + self._work_distance(other)
            + 0.25 * abs(len(self.kernels) - len(other.kernels))
        )

    def _kind(self) -> tuple[object, ...]:
        """Return what two layers must have in common for one to tell anything of the other."""
        several, strided = len(self.kernels) > 1, self.stride > 1
        large = max(self.kernels) ** 2 > MOST_TAPS
        return self.kind, self.width, self.aligned, self.dilated, several, strided, large

    def _work_distance(self, other: LayerSignature) -> float:
        """Return by how many pixels, on average, the kernels of the channels differ."""
        ours, theirs = self._sizes(), other._sizes()
        return sum(abs(a - b) for a, b in zip(ours, theirs, strict=True)) / len(ours)

    def _sizes(self) -> list[int]:
        """Return the kernel sizes at evenly spaced channels, the smallest kernels first."""
        pairs = sorted(zip(self.kernels, self.shares, strict=True))
        ends = list(itertools.accumulate(share for _, share in pairs))
        last = len(pairs) - 1
        places = ((i + 0.5) * 1000 / _PLACES for i in range(_PLACES))
        return [pairs[min(bisect.bisect(ends, place), last)][0] for place in places]


@dataclass(frozen=True, config=_CONFIG)
class Finding:
    """The measured forms of one layer.

    Attributes:
        layer: The layer.
        best: Name of the form to use.
        times: Time of each form by name, in units of the time as trained.
    """

    layer: LayerSignature
    best: str
    times: dict[str, Annotated[float, Field(allow_inf_nan=False)]]

    def __post_init__(self) -> None:
        """Refuse what a damaged file, or an agent, says.

        Raises:
            ValueError: If the form to use was not measured.
        """
        if self.best not in self.times:
            raise ValueError(f"form '{self.best}' has no time")


@dataclass(frozen=True, config=_CONFIG)
class DeviceProfile:
    """The speed and the fastest forms of a device; a `nas.lowering.FormChoice`.

    Attributes:
        conditions: Conditions under which the profile holds.
        reference_ms: Usual time of the reference network, in milliseconds.
        findings: Measured layers.
        depthwise_ms: Time of a depthwise convolution (`CURVE_CHANNELS` channels, `CURVE_SIZE`
            pixels a side) by kernel size, in milliseconds.
        schema: Name and version of the file format.
    """

    conditions: Conditions
    reference_ms: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    findings: tuple[Finding, ...] = ()
    depthwise_ms: dict[_Count, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = Field(
        default_factory=dict
    )
    schema: Literal["mixnas.device/2"] = "mixnas.device/2"

    def _nearest(self, layer: LayerSignature) -> str | None:
        nearest = min(self.findings, key=lambda f: layer.distance(f.layer), default=None)
        if nearest is None or layer.distance(nearest.layer) > SIMILAR:
            return None
        return nearest.best

    def form(self, mix: MixConv, shape: Shape) -> Form:
        """Return the best form of the most similar measured layer; see `FormChoice`.

        A layer that resembles no measured one keeps the form in which it was trained. If none was
        measured, since networks load too slowly in the runtime, it is the default form.
        """
        if not self.findings:
            return MERGE_ALL.form(mix, shape)
        forms = candidates(mix)
        name = self._nearest(LayerSignature.of(mix, shape))
        return forms[name if name in forms else trained_form(mix)]

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


def checked_with(conditions: Conditions) -> str:
    """Return what `note_check` noted last for the given conditions; empty if nothing."""
    try:
        return _mark(conditions).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def note_check(conditions: Conditions, sources: str) -> None:
    """Note that the outputs under the given conditions are right.

    It is not part of the profile, which other versions of this package may use, too.

    Args:
        conditions: The conditions.
        sources: Digest of the sources that wrote the networks.
    """
    write_atomic(_mark(conditions), sources)


def _mark(conditions: Conditions) -> Path:
    return _path(conditions).with_suffix(".checked")


def _path(conditions: Conditions) -> Path:
    return cache_folder("devices") / f"{conditions.digest()}.json"
