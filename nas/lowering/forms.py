"""The forms in which parallel convolutions can be written, and the rules that choose one.

Parallel convolutions act on separate slices of the channels, as in a mixed convolution; a single
depthwise convolution is treated as the case of one slice.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Protocol

from nas.ir import Conv, MixConv, Shape, SqueezeExcite

MOST_TAPS = 25
"""Most taps of a depthwise kernel that every runtime has fast code for."""
BLOCK = 16
"""Channels per block in the blocked layouts of runtimes, the width of vector units."""
# Names of the forms in which kernels may be sums, by that of the same form without sums.
_PHASED = {"merge": "phases", "halves": "halves phases", "split": "split phases"}


@dataclass(frozen=True)
class Form:
    """A way to write parallel convolutions.

    Attributes:
        runs: Numbers of adjacent convolutions that are merged into one, in order: ``(4,)`` merges
            all four, ``(2, 2)`` merges them in pairs, ``(1, 1, 1, 1)`` merges none.
        dense: Whether to merge into a dense convolution with a block-diagonal matrix; otherwise
            the merged convolution has as many groups as its parts together.
        padded: Whether to add the columns of zeros in a separate layer, so that the convolution
            itself has no edges on the left and right (stride 1 only).
        phased: Whether to write convolutions of more than `MOST_TAPS` taps as sums of dilated
            convolutions of fewer taps (see `nas.lowering.phases`).
    """

    runs: tuple[int, ...]
    dense: bool = False
    padded: bool = False
    phased: bool = False

    def __str__(self) -> str:
        kinds = {"dense ": self.dense, "padded ": self.padded, "phased ": self.phased}
        kind = "".join(name for name, chosen in kinds.items() if chosen)
        return kind + "+".join(map(str, self.runs))


class FormChoice(Protocol):
    """A rule that chooses the forms of layers, given the (C, H, W) shapes of their inputs."""

    def form(self, mix: MixConv, shape: Shape) -> Form:
        """Return the form of parallel convolutions, or of one depthwise convolution."""
        ...

    def wide_gate(self, se: SqueezeExcite, shape: Shape) -> bool:
        """Return whether to expand the gate of squeeze-and-excitation to the size of the map."""
        ...


def can_be_merged(convs: tuple[Conv, ...]) -> bool:
    """Return whether the kernels of convolutions can be parts of one kernel.

    With padding by a rule, smaller kernels lie within the largest one. Explicit padding, which all
    share, would be wrong for another kernel.
    """
    by_rule = all(isinstance(conv.padding, str) for conv in convs)
    return by_rule or len({(conv.spans, conv.padding) for conv in convs}) == 1


def _stackable(convs: tuple[Conv, ...]) -> bool:
    """Return whether convolutions can be groups of one: equal group widths, in and out."""
    widths = {(c.in_channels // c.groups, c.out_channels // c.groups) for c in convs}
    return len(widths) == 1 and can_be_merged(convs)


def _pads_kernels(convs: tuple[Conv, ...]) -> bool:
    """Return whether merging convolutions puts zeros around or between the taps of a kernel."""
    merged = max(conv.spans for conv in convs)
    return len(convs) > 1 and any(conv.window != merged for conv in convs)


def is_pointwise(mix: MixConv) -> bool:
    """Return whether parallel convolutions are dense 1x1 ones."""
    return all(conv.groups == 1 and conv.taps == 1 for conv in mix.convs)


def group_width(mix: MixConv) -> int:
    """Return the input channels of a convolution group, 1 if all convolutions are depthwise.

    Where the parallel convolutions differ, it is the largest width.
    """
    return max(conv.in_channels // conv.groups for conv in mix.convs)


def candidates(mix: MixConv) -> dict[str, Form]:
    """Return the possible forms of parallel convolutions by name.

    Depthwise and grouped convolutions have ``merge``, ``padded``, ``halves`` (smaller and larger
    kernels separately), ``neighbors`` (adjacent ones in pairs) and ``split``. If a kernel has more
    than `MOST_TAPS` taps, ``phases``, ``halves phases`` and ``split phases`` are ``merge``,
    ``halves`` and ``split`` with such kernels as sums. 1x1 convolutions have ``grouped`` (if all
    slices have the same size), ``dense`` and ``split``.
    """
    count = len(mix.convs)
    split = Form((1,) * count)
    if is_pointwise(mix):
        grouped = {"grouped": Form((count,))} if _stackable(mix.convs) else {}
        return {**grouped, "dense": Form((count,), dense=True), "split": split}
    forms = {"merge": Form((count,)), **_partial_merges(count)} if _stackable(mix.convs) else {}
    if can_be_padded(mix):
        forms["padded"] = Form((count,), padded=True)
    if count > 1:
        forms["split"] = split
    if can_be_phased(mix):
        forms |= {
            name: dataclasses.replace(forms[merged], phased=True)
            for merged, name in _PHASED.items()
            if merged in forms
        }
    return forms


def _partial_merges(count: int) -> dict[str, Form]:
    """Return the forms that merge some of several adjacent convolutions."""
    if count < 3:
        return {}
    halves = Form((count - count // 2, count // 2))
    neighbors = Form((2,) * (count // 2) + (1,) * (count % 2))
    return {"halves": halves} | ({"neighbors": neighbors} if neighbors != halves else {})


def trained_form(mix: MixConv) -> str:
    """Return the name of the form that parallel convolutions have as trained."""
    return "split" if len(mix.convs) > 1 else "merge"


def can_be_padded(mix: MixConv) -> bool:
    """Return whether the columns of zeros can be added in a separate layer."""
    return _stackable(mix.convs) and all(c.stride == 1 and _has_columns(c) for c in mix.convs)


def _has_columns(conv: Conv) -> bool:
    """Return whether the padding at stride 1 has columns of zeros."""
    return conv.kernel > 1 if isinstance(conv.padding, str) else any(conv.padding[1::2])


def can_be_phased(mix: MixConv) -> bool:
    """Return whether one of the convolutions, merged or not, can be written as a sum.

    Explicit padding may be too narrow for some of the phases.
    """
    by_rule = all(isinstance(conv.padding, str) for conv in mix.convs)
    large = any(conv.extent**2 > MOST_TAPS for conv in mix.convs)
    return by_rule and large and mix.convs[0].stride <= 2


def fits(form: Form, mix: MixConv) -> bool:
    """Return whether parallel convolutions can be written in a form, be it a candidate or not."""
    ends = [0, *accumulate(form.runs)]
    runs = [mix.convs[start:end] for start, end in pairwise(ends)]
    if min(form.runs, default=0) < 1 or ends[-1] != len(mix.convs):
        return False
    if form.padded and (len(runs) > 1 or form.phased or not can_be_padded(mix)):
        return False
    if form.phased and not can_be_phased(mix):
        return False
    return all(len(run) == 1 or _can_be_one(run, form.dense) for run in runs)


def _can_be_one(run: tuple[Conv, ...], dense: bool) -> bool:
    """Return whether convolutions can be merged into one, a dense one or one with their groups."""
    if dense:
        return all(conv.groups == 1 for conv in run) and can_be_merged(run)
    return _stackable(run)


def default_form(mix: MixConv) -> str:
    """Return the name of the form that is used without measurement.

    Depthwise convolutions become a single one. 1x1 convolutions become a grouped one if all slices
    fill whole blocks of channels and a dense one otherwise, because runtimes with blocked layouts
    use slow code for partial blocks. Wider groups of several kernel sizes stay as trained: merging
    them pads the smaller kernels with zeros, which costs more arithmetic than the slices cost
    copies.
    """
    if not is_pointwise(mix):
        free = group_width(mix) == 1 or not _pads_kernels(mix.convs)
        return "merge" if free and _stackable(mix.convs) else "split"
    widths = {w for conv in mix.convs for w in (conv.in_channels, conv.out_channels)}
    aligned = all(width % BLOCK == 0 for width in widths)
    return "grouped" if aligned and _stackable(mix.convs) else "dense"


class MergeAll:
    """Chooses without measurement: always the default form."""

    def form(self, mix: MixConv, shape: Shape) -> Form:
        """See `FormChoice`."""
        return candidates(mix)[default_form(mix)]

    def wide_gate(self, se: SqueezeExcite, shape: Shape) -> bool:
        """See `FormChoice`."""
        return False


MERGE_ALL = MergeAll()
"""The rule that merges every layer that can be merged."""


@dataclass(frozen=True)
class Preference:
    """Chooses the first of some forms that a layer has, without measurement.

    Attributes:
        names: Names of forms, the preferred one first. A layer that has none of them keeps the
            form in which it was trained.
    """

    names: tuple[str, ...] = ()

    def form(self, mix: MixConv, shape: Shape) -> Form:
        """See `FormChoice`."""
        forms = candidates(mix)
        return next((forms[n] for n in self.names if n in forms), Form((1,) * len(mix.convs)))

    def wide_gate(self, se: SqueezeExcite, shape: Shape) -> bool:
        """See `FormChoice`."""
        return False


AS_TRAINED = Preference()
"""Keeps all slices as they are, so that only what follows a convolution is folded into it."""

PHASED = Preference(("phases", "merge", "grouped", "dense"))
"""A single convolution per layer, with large kernels as sums."""

PHASED_SLICES = Preference(("grouped", "dense", "split phases", "phases"))
"""Slices of the channels as they are, with large kernels as sums; only 1x1 ones are merged."""
