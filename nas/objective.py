"""What a search aims at: a front of accuracy and latency, or one number made of both.

Hard limits (`nas.limits`) hold beside any objective.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from nas.errors import MixnasError, unknown
from nas.units import parse_milliseconds

Direction = Literal["maximize", "minimize"]
SOFT = (-0.07, -0.07)
"""MnasNet's soft exponents: twice the latency is worth 5% of accuracy (Tan et al. 2019, sec. 3)."""
HARD = (0.0, -1.0)
"""MnasNet's hard exponents: accuracy alone up to the target, and a steep fall beyond it."""
SLOPE = -0.07
"""Of the absolute reward; our choice, so that near the target it trades like the soft one."""


def mnasnet_reward(
    accuracy: float, latency_ms: float, target_ms: float, exponents: tuple[float, float] = SOFT
) -> float:
    """Return ACC x (LAT / T)^w (Tan et al. 2019, MnasNet, equations 2 and 3).

    Args:
        accuracy: in 0..1.
        latency_ms: of the network.
        target_ms: T, the latency that is aimed at.
        exponents: w up to the target, and beyond it.
    """
    exponent = exponents[0] if latency_ms <= target_ms else exponents[1]
    return float(accuracy * (latency_ms / target_ms) ** exponent)


def absolute_reward(
    accuracy: float, latency_ms: float, target_ms: float, slope: float = SLOPE
) -> float:
    """Return ACC + b |LAT / T - 1| (Bender et al. 2020, TuNAS, section 3.2).

    Too fast a network is as far from the target as one too slow, so that a search lands on the
    target without tuning of exponents.

    Args:
        accuracy: in 0..1.
        latency_ms: of the network.
        target_ms: T, the latency that is aimed at.
        slope: b, negative.
    """
    return accuracy + slope * abs(latency_ms / target_ms - 1)


@dataclass(frozen=True)
class Objective:
    """What a search aims at.

    Attributes:
        name: on the command line.
        target_ms: latency that rewards aim at; None for a front.
    """

    name: str
    target_ms: float | None = None

    @property
    def directions(self) -> list[Direction]:
        """Optuna's directions: of accuracy and latency, or of the reward."""
        return ["maximize", "minimize"] if self.target_ms is None else ["maximize"]

    def reward(self, accuracy: float, latency_ms: float) -> float | None:
        """Return the reward; None for a front."""
        if self.target_ms is None:
            return None
        return _REWARDS[self.name](accuracy, latency_ms, self.target_ms)

    def values(self, accuracy: float, latency_ms: float) -> list[float]:
        """Return what Optuna is told of a network."""
        reward = self.reward(accuracy, latency_ms)
        return [accuracy, latency_ms] if reward is None else [reward]


PARETO = Objective("pareto")
"""The front of accuracy and latency."""

_REWARDS: dict[str, Callable[[float, float, float], float]] = {
    "mnasnet": mnasnet_reward,
    "mnasnet-hard": lambda acc, ms, target: mnasnet_reward(acc, ms, target, HARD),
    "absolute": absolute_reward,
}
OBJECTIVES = ("pareto", *_REWARDS)


def open_objective(name: str, target: str | None) -> Objective:
    """Return an objective by name.

    Args:
        name: ``pareto``, ``mnasnet``, ``mnasnet-hard`` or ``absolute``.
        target: latency such as ``8ms``, which all but ``pareto`` need.

    Raises:
        MixnasError: when there is no such objective, or the target is missing or out of place.
    """
    if name not in OBJECTIVES:
        raise MixnasError(unknown("objective", name, OBJECTIVES))
    if name == "pareto":
        if target is not None:
            raise MixnasError(
                "objective 'pareto' aims at no single latency; leave --target out, or choose "
                f"--objective {' or '.join(_REWARDS)}; a bound is --limit latency={target}"
            )
        return PARETO
    if target is None:
        raise MixnasError(f"objective '{name}' needs the latency to aim at: --target 8ms")
    milliseconds = parse_milliseconds(target)
    if milliseconds <= 0:
        raise MixnasError(f"--target {target} must be more than nothing")
    return Objective(name, milliseconds)
