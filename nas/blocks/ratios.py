"""Ratios that stand for all ratios with the same effect, once their products are rounded."""

from __future__ import annotations

from collections.abc import Callable

LARGEST = 16  # ratio that a field may have (see `nas.blocks.fields.Ratio`)


def shortest_binary(low: float, high: float, suits: Callable[[float], bool]) -> float:
    """Return the number with the fewest binary places that suits, the smallest of them.

    Args:
        low: Lower end of the range in which numbers are tried.
        high: Upper end of the range.
        suits: Whether a number suits; some number in the range must.

    Raises:
        ValueError: If no number suits.
    """
    for places in range(53):
        scale = 1 << places
        for numerator in range(max(0, int(low * scale)), int(high * scale) + 2):
            number = numerator / scale
            value = int(number) if number.is_integer() else number
            if suits(value):
                return value
    raise ValueError(f"no number between {low} and {high} suits")


def simplest_ratio(low: float, high: float, suits: Callable[[float], bool]) -> float:
    """Return the smallest whole ratio that suits, or else the shortest one (`shortest_binary`).

    Args:
        low: Lower end of the range in which fractions are tried.
        high: Upper end of that range.
        suits: Whether a ratio up to `LARGEST` suits; some ratio in the range must.
    """
    whole = next((ratio for ratio in range(1, LARGEST + 1) if suits(ratio)), None)
    if whole is not None:
        return whole
    return shortest_binary(low, high, lambda ratio: 0 < ratio <= LARGEST and suits(ratio))


def multiple(base: int, product: int, rounded: Callable[[float], int], margin: int = 16) -> float:
    """Return the simplest ratio whose product with `base`, once rounded, is `product`.

    Args:
        base: Number of channels that the ratio multiplies.
        product: Number of channels that it leads to.
        rounded: Rounds a ratio's product: ratio -> channels.
        margin: What rounding changes at most.
    """
    low, high = max(0, product - margin) / base, (product + margin) / base
    return simplest_ratio(low, high, lambda ratio: rounded(ratio) == product)


def share(base: int, part: int, rounded: Callable[[float], int], margin: int = 1) -> float:
    """Return the shortest ratio up to 1 whose product with `base`, once rounded, is `part`.

    Arguments are those of `multiple`.
    """
    low, high = max(0, part - margin) / base, (part + margin) / base
    return shortest_binary(low, high, lambda ratio: 0 < ratio <= 1 and rounded(ratio) == part)


def rounded_product(channels: int, ratio: float) -> int:
    """Return the nearest whole number to a multiple or a share of channels, at least 1."""
    return max(1, round(channels * ratio))


def floored_product(channels: int, ratio: float) -> int:
    """Return the whole part of a multiple or a share of channels, at least 1."""
    return max(1, int(channels * ratio))


def middle_channels(channels: int, ratio: float) -> int:
    """Return the channels in the middle of a bottleneck, 1 / ratio of its output channels."""
    return max(1, round(channels / ratio))


def bottleneck_ratio(channels: int, mid: int) -> float:
    """Return the simplest bottleneck ratio that leads to `mid` channels in the middle."""
    low, high = channels / (mid + 1), channels / max(mid - 1, 0.5)
    return simplest_ratio(low, high, lambda ratio: middle_channels(channels, ratio) == mid)
