"""Measuring until the machine is quiet."""

from __future__ import annotations

from collections.abc import Callable

from nas.errors import MixnasError
from nas.latency.conditions import Latency
from nas.latency.device import Device, timm_device
from nas.latency.protocol import Effort
from nas.named import AnyNetwork, TimmNetwork

ATTEMPTS = 3


def measure_quietly(
    device: Device, network: AnyNetwork, attempts: int = ATTEMPTS, effort: Effort | None = None
) -> Latency:
    """Measure a network repeatedly until the machine is quiet.

    Args:
        device: Device to measure on.
        network: The network.
        attempts: Maximum number of measurements.
        effort: Time limit and target precision of each; None for the defaults.

    Returns:
        The measurement that was disturbed least.

    Raises:
        MixnasError: If the device cannot run the network.
    """

    def measured() -> Latency:
        if isinstance(network, TimmNetwork):
            return timm_device(device, network).measure_timm(network, effort)
        return device.measure(network, effort)

    return quietest(measured, attempts)


def quietest(measure: Callable[[], Latency], attempts: int = ATTEMPTS) -> Latency:
    """Measure repeatedly until the machine is quiet; return what was disturbed least.

    Args:
        measure: Measures once.
        attempts: Maximum number of measurements.
    """
    best = measure()
    for _ in range(attempts - 1):
        if not best.noise:
            break
        latency = measure()
        best = latency if quieter(latency, best) else best
    return best


def quieter(one: Latency, other: Latency) -> bool:
    """Return whether the machine was quieter during one measurement than during another."""
    return (len(one.noise), one.reference_ms) < (len(other.noise), other.reference_ms)


def refuse_noise(latency: Latency, name: str) -> None:
    """Reject a latency that was measured on a noisy machine.

    Args:
        latency: A measurement.
        name: Name of the network, for the message.

    Raises:
        MixnasError: If the measurement was disturbed; the message says by what.
    """
    if latency.noise:
        raise MixnasError(
            f"{name} was not measured on a quiet machine: {'; '.join(latency.noise)}. Stop the "
            "other work on the machine, or omit --strict to accept noisy measurements"
        )
