"""Search objectives: the Pareto front of accuracy and latency, or one reward that combines both.

Hard limits (`nas.limits`) apply in addition to any objective.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from nas.errors import MixnasError, unknown
from nas.units import parse_milliseconds

Direction = Literal["maximize", "minimize"]
"""Which way a value is better."""
SOFT = (-0.07, -0.07)
"""MnasNet's soft exponents: doubling the latency costs as much as losing 5% of the accuracy
(Tan et al. 2019, section 3)."""
HARD = (0.0, -1.0)
"""MnasNet's hard exponents: accuracy alone up to the target, and a steep penalty beyond it."""
SLOPE = -0.07
"""Slope of the absolute reward. Our choice: near the target it trades accuracy for latency at the
same rate as the soft reward."""


def mnasnet_reward(
    accuracy: float, latency_ms: float, target_ms: float, exponents: tuple[float, float] = SOFT
) -> float:
    """Return ACC x (LAT / T)^w (Tan et al. 2019, MnasNet, equations 2 and 3).

    Args:
        accuracy: ACC, in 0..1.
        latency_ms: LAT, the network's latency in milliseconds.
        target_ms: T, the target latency in milliseconds.
        exponents: w up to the target, and w beyond it.
    """
    exponent = exponents[0] if latency_ms <= target_ms else exponents[1]
    return float(accuracy * (latency_ms / target_ms) ** exponent)


def absolute_reward(
    accuracy: float, latency_ms: float, target_ms: float, slope: float = SLOPE
) -> float:
    """Return ACC + b |LAT / T - 1| (Bender et al. 2020, TuNAS, section 3.2).

    A network that is too fast is penalized like one that is too slow, so a search lands on the
    target without any tuning of exponents.

    Args:
        accuracy: ACC, in 0..1.
        latency_ms: LAT, the network's latency in milliseconds.
        target_ms: T, the target latency in milliseconds.
        slope: b, a negative number.
    """
    return accuracy + slope * abs(latency_ms / target_ms - 1)


@dataclass(frozen=True)
class Objective:
    """The objective of a search.

    Attributes:
        name: Name on the command line.
        target_ms: Target latency of a reward, in milliseconds; None for the Pareto front.
        devices: Number of devices whose latencies count; a reward has one.
    """

    name: str
    target_ms: float | None = None
    devices: int = 1

    @property
    def directions(self) -> list[Direction]:
        """Optuna's directions: for accuracy and every latency, or one for the reward."""
        latencies: list[Direction] = ["minimize"] * self.devices
        return ["maximize", *latencies] if self.target_ms is None else ["maximize"]

    def value_names(self, devices: Sequence[str]) -> list[str]:
        """Return what the values of a network are called, in the order of `values`.

        Args:
            devices: Names of the devices whose latencies count.
        """
        if self.target_ms is not None:
            return ["reward"]
        if self.devices == 1:
            return ["score", "latency (ms)"]
        return ["score", *(f"latency on {device} (ms)" for device in devices)]

    def reward(self, accuracy: float, latency_ms: float) -> float | None:
        """Return the reward, or None if the objective is the Pareto front."""
        if self.target_ms is None:
            return None
        return _REWARDS[self.name](accuracy, latency_ms, self.target_ms)

    def values(self, accuracy: float, *latencies_ms: float) -> list[float]:
        """Return the values of a network that are reported to Optuna.

        Args:
            accuracy: The network's score.
            latencies_ms: Its latency on every device, in milliseconds.
        """
        reward = self.reward(accuracy, latencies_ms[0])
        return [accuracy, *latencies_ms] if reward is None else [reward]


PARETO = Objective("pareto")
"""The Pareto front of accuracy and latency."""

_REWARDS: dict[str, Callable[[float, float, float], float]] = {
    "mnasnet": mnasnet_reward,
    "mnasnet-hard": lambda acc, ms, target: mnasnet_reward(acc, ms, target, HARD),
    "absolute": absolute_reward,
}
OBJECTIVES = ("pareto", *_REWARDS)
"""The objectives, by name."""


def open_objective(name: str, target: str | None, devices: int = 1) -> Objective:
    """Return an objective by name.

    Args:
        name: ``pareto``, ``mnasnet``, ``mnasnet-hard`` or ``absolute``.
        target: Target latency such as ``8ms``; required by every objective except ``pareto``.
        devices: Number of devices whose latencies count.

    Raises:
        MixnasError: If there is no such objective, or the target is missing, not positive, or given
            to ``pareto``, or a reward is to combine several latencies.
    """
    if name not in OBJECTIVES:
        raise MixnasError(unknown("objective", name, OBJECTIVES))
    if name == "pareto":
        if target is not None:
            raise MixnasError(
                "objective 'pareto' has no target latency; omit --target, or choose "
                f"--objective {' or '.join(_REWARDS)}; to bound the latency instead, use "
                f"--limit latency={target}"
            )
        return Objective(name, devices=devices)
    if devices > 1:
        raise MixnasError(
            f"objective '{name}' combines accuracy with the latency on one device, but there are "
            f"{devices} devices; use --objective pareto, or one --device"
        )
    if target is None:
        raise MixnasError(f"objective '{name}' needs a target latency, such as --target 8ms")
    milliseconds = parse_milliseconds(target)
    if milliseconds <= 0:
        raise MixnasError(f"--target must be greater than zero, not {target}")
    return Objective(name, milliseconds)
