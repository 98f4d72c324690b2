"""The forms that convolutions side by side can take, and who chooses among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from nas.ir import Conv, MixConv, Shape, SqueezeExcite

BLOCK = 16  # channels that wide vector units compute at once; grouped layouts come in these


@dataclass(frozen=True)
class Form:
    """How convolutions side by side are written.

    Attributes:
        runs: how many neighbours are merged into one, in order: ``(4,)`` merges four, ``(2, 2)``
            two and two, ``(1, 1, 1, 1)`` none.
        dense: merge into one dense convolution with a block-diagonal matrix; otherwise the groups
            of the merged convolution add up.
        padded: add the columns of zeros in a step of their own, so that the convolution itself
            has no edges on the left and right (at stride 1 only).
    """

    runs: tuple[int, ...]
    dense: bool = False
    padded: bool = False

    def __str__(self) -> str:
        kind = "dense " if self.dense else "padded " if self.padded else ""
        return kind + "+".join(map(str, self.runs))


class FormChoice(Protocol):
    """Chooses how layers are written, given their input's shape."""

    def form(self, mix: MixConv, shape: Shape) -> Form:
        """Choose for convolutions side by side; one depthwise convolution counts as one such."""
        ...

    def wide_gate(self, se: SqueezeExcite, shape: Shape) -> bool:
        """Choose whether a squeeze-and-excitation gate is spread over the map."""
        ...


def _stackable(convs: tuple[Conv, ...]) -> bool:
    """Tell whether convolutions can be the groups of one: equal widths a group, in and out."""
    return len({(c.in_channels // c.groups, c.out_channels // c.groups) for c in convs}) == 1


def is_pointwise(mix: MixConv) -> bool:
    """Tell dense 1x1 convolutions side by side from depthwise ones."""
    return all(conv.groups == 1 for conv in mix.convs)


def candidates(mix: MixConv) -> dict[str, Form]:
    """Return the forms that convolutions side by side can take, by name.

    Depthwise: ``merge``, ``padded``, ``halves`` (the smaller kernels apart from the larger) and
    ``split``. 1x1: ``grouped`` where slices are even, ``dense`` and ``split``.
    """
    count = len(mix.convs)
    split = Form((1,) * count)
    if is_pointwise(mix):
        grouped = {"grouped": Form((count,))} if _stackable(mix.convs) else {}
        return {**grouped, "dense": Form((count,), dense=True), "split": split}
    if not _stackable(mix.convs):
        return {"split": split}
    forms = {"merge": Form((count,))}
    if can_be_padded(mix):
        forms["padded"] = Form((count,), padded=True)
    if count > 2:
        forms["halves"] = Form((count - count // 2, count // 2))
    return {**forms, "split": split} if count > 1 else forms


def can_be_padded(mix: MixConv) -> bool:
    """Tell whether columns of zeros may be added in a step of their own."""
    return _stackable(mix.convs) and all(c.stride == 1 and c.kernel > 1 for c in mix.convs)


def usual_form(mix: MixConv) -> str:
    """Name the candidate that is taken without measurement: one convolution where that can be.

    1x1 convolutions become a grouped one where their slices fill whole blocks of channels, and a
    dense one otherwise, since runtimes with blocked layouts fall back to slow code for the rest.
    """
    if not is_pointwise(mix):
        return "merge" if _stackable(mix.convs) else "split"
    widths = {w for conv in mix.convs for w in (conv.in_channels, conv.out_channels)}
    aligned = all(width % BLOCK == 0 for width in widths)
    return "grouped" if aligned and _stackable(mix.convs) else "dense"


class MergeAll:
    """Chooses without measurement: the usual form always."""

    def form(self, mix: MixConv, shape: Shape) -> Form:
        """See `FormChoice`."""
        return candidates(mix)[usual_form(mix)]

    def wide_gate(self, se: SqueezeExcite, shape: Shape) -> bool:
        """See `FormChoice`."""
        return False


MERGE_ALL = MergeAll()
