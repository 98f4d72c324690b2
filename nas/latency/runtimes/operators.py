"""Kinds of operators in profiles of networks, named alike for all runtimes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import median

SETTLE = 20
"""Runs of a profile that do not count, since the processor and its caches warm up."""
RUNS = 100
"""Runs of a profile, those of `SETTLE` among them."""


def convolution_kind(kernel: Sequence[int], width: int, channels: int, side: int) -> str:
    """Return how a convolution is called in a table of operators.

    Args:
        kernel: Height and width of its kernel.
        width: Number of input channels of a group.
        channels: Number of its input channels.
        side: Width of its input. Of one pixel, it mostly belongs to squeeze-and-excitation.

    Examples:
        >>> convolution_kind((5, 5), 1, 64, 14)
        'depthwise convolution 5x5'
        >>> convolution_kind((1, 1), 64, 64, 1)
        'convolution of one pixel'
    """
    if side == 1:
        return "convolution of one pixel"
    size = "x".join(map(str, kernel))
    depthwise = width == 1 and channels > 1
    return f"depthwise convolution {size}" if depthwise else f"convolution {size}"


def summed(times: Iterable[tuple[str, str, float]]) -> dict[str, float]:
    """Return the time of each kind of operator in one run, the longest first.

    Args:
        times: Name, kind and time of each operator in every run, the first runs included.

    Returns:
        The sums of the operators' medians, in the unit of the times.
    """
    kinds: dict[str, str] = {}
    runs: dict[str, list[float]] = defaultdict(list)
    for name, kind, time in times:
        kinds[name] = kind
        runs[name].append(time)
    total: dict[str, float] = defaultdict(float)
    for name, values in runs.items():
        total[kinds[name]] += median(values[min(SETTLE, len(values) - 1) :])
    return dict(sorted(total.items(), key=lambda item: -item[1]))
