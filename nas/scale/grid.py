"""The grid from which EfficientNet's compound scaling chooses its coefficients."""

from __future__ import annotations

import math

from nas.errors import MixnasError
from nas.scale.factors import Coefficients

STEP = 0.05
PRODUCT = 2.0
TOLERANCE = 0.1
SMALLEST_STEP = 0.01
MOST_TRIPLES = 10_000
_ROUNDING = 1e-9


def grid(
    step: float = STEP, product: float = PRODUCT, tolerance: float = TOLERANCE
) -> list[Coefficients]:
    """Return the coefficients on a grid that multiply multiply-adds by about `product`.

    That is the first step of compound scaling (Tan and Le 2019, EfficientNet, section 3.3): alpha,
    beta and gamma are at least 1, and alpha beta^2 gamma^2 is about 2. The paper's choice, 1.2, 1.1
    and 1.15 with a product of 1.92, is among the defaults.

    Args:
        step: Distance of neighboring values of a coefficient.
        product: What alpha beta^2 gamma^2 is to be.
        tolerance: By how much the product may differ.

    Returns:
        The coefficients, in order of alpha, beta and gamma.

    Raises:
        MixnasError: If an argument is out of range, no coefficients meet the condition, or more
            than `MOST_TRIPLES` do.
    """
    _check(step, product, tolerance)
    found: list[Coefficients] = []
    low, high = product - tolerance - _ROUNDING, product + tolerance + _ROUNDING
    for i in range(_steps(high, step) + 1):
        alpha = _value(i, step)
        for j in range(_steps(math.sqrt(high / alpha), step) + 1):
            beta = _value(j, step)
            rest = alpha * beta**2
            first = 0 if low <= rest else math.ceil((math.sqrt(low / rest) - 1) / step - _ROUNDING)
            last = _steps(math.sqrt(high / rest), step)
            found += (
                Coefficients(alpha, beta, _value(k, step)) for k in range(max(0, first), last + 1)
            )
            if len(found) > MOST_TRIPLES:
                raise MixnasError(
                    f"more than {MOST_TRIPLES:,} triples lie on the grid; give a larger step or a "
                    "smaller tolerance"
                )
    if not found:
        raise MixnasError(
            f"no triple on a grid of step {step:g} has a product within {tolerance:g} of "
            f"{product:g}; give a smaller step or a larger tolerance"
        )
    return found


def _check(step: float, product: float, tolerance: float) -> None:
    """Refuse arguments that are out of range.

    Raises:
        MixnasError: If one is.
    """
    ranges = {
        "step": (step, SMALLEST_STEP, 1.0),
        "product": (product, 1.0, 16.0),
        "tolerance": (tolerance, 0.0, 1.0),
    }
    for name, (value, least, most) in ranges.items():
        if not least <= value <= most:
            raise MixnasError(
                f"a {name} of {value:g} is not possible; allowed: {least:g} to {most:g}"
            )


def _steps(largest: float, step: float) -> int:
    """Return the number of steps from 1 that do not lead beyond a value; negative if it is < 1."""
    return math.floor((largest - 1) / step + _ROUNDING)


def _value(steps: int, step: float) -> float:
    return round(1 + steps * step, 9)
