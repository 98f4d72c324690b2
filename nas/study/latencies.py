"""Where a study keeps the latencies of its trials: under which names, and which count.

The latency on the first device of a search is ``latency``, those on the others ``latency@DEVICE``.
A finished trial cannot be changed, so that what is measured later belongs to the study itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nas.study.facts import is_latency

LATENCY = "latency"
_CONFIRMED = "confirmed latency of trial "


def latency_attribute(device: str, devices: Sequence[str]) -> str:
    """Return the attribute of a trial that holds its latency on a device.

    Args:
        device: Name of the device.
        devices: All devices of the search, in its order.
    """
    return LATENCY if device == devices[0] else f"{LATENCY}@{device}"


def facts_about(device: str, devices: Sequence[str]) -> str:
    """Return what the record of a device's conditions is called (see `SearchStudy.check_facts`)."""
    return "latencies" if device == devices[0] else f"latencies on {device}"


def confirmed_attribute(number: int, attribute: str) -> str:
    """Return the attribute of a study that holds a latency measured after the trial's end."""
    return f"{_CONFIRMED}{number}{attribute.removeprefix(LATENCY)}"


def confirmed_latencies(attributes: Mapping[str, Any]) -> dict[tuple[int, str], dict[str, Any]]:
    """Return the latencies that were measured after their trials' ends.

    Args:
        attributes: Attributes of the study; what is no whole latency is passed over.

    Returns:
        The latencies (as dicts) by the number of the trial and its attribute; empty dicts where the
        device turned out not to run the network.
    """
    found = {}
    for name, latency in attributes.items():
        number, at, device = name.removeprefix(_CONFIRMED).partition("@")
        whole = latency == {} or is_latency(latency)
        if name.startswith(_CONFIRMED) and number.isdecimal() and whole:
            found[int(number), f"{LATENCY}{at}{device}"] = latency
    return found
