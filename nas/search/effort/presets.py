"""Presets of a search's settings: a first look, and a thorough answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nas.defaults import DATA_SETS
from nas.errors import MixnasError


@dataclass(frozen=True)
class Preset:
    """Settings that take the place of a search's defaults.

    Attributes:
        option: Option of the command that chooses it.
        settings: Values of fields of `SearchConfig`, by name.
    """

    option: str
    settings: Mapping[str, Any] = field(default_factory=dict)


QUICK = Preset(
    "--quick",
    {
        "estimator": "supernet:images=100000,most_epochs=16",
        "references": ["mixnet_s", "mobilenet_v2"],
        "trials": 16,
        "confirm": 1,
    },
)
"""A first look within minutes, with the same checks as any other search."""
THOROUGH = Preset(
    "--thorough",
    {
        "estimator": "supernet:images=800000,most_epochs=100",
        "trials": 200,
        "confirm": 4,
        "retrain": "images=1000000,most_epochs=10",
    },
)
"""An answer to rely on, for which hours are well spent."""


def asked_for(quick: bool, thorough: bool, new: bool) -> Preset | None:
    """Return the preset that the user asks for; None if there is none.

    Args:
        quick: Whether `QUICK` is asked for.
        thorough: Whether `THOROUGH` is asked for.
        new: Whether the search is one of its own, and does not take the settings of another run.

    Raises:
        MixnasError: If both are asked for, or one for a search whose settings come from elsewhere.
    """
    if quick and thorough:
        raise MixnasError(f"{QUICK.option} and {THOROUGH.option} exclude each other; give one")
    preset = QUICK if quick else THOROUGH if thorough else None
    if preset is not None and not new:
        raise MixnasError(
            f"{preset.option} chooses the settings of a new search, but --resume and --config take "
            "those of another run; leave one of them out"
        )
    return preset


def settings_of(preset: Preset | None, data: str) -> dict[str, Any]:
    """Return settings that take the place of a search's defaults.

    The built-in images are so easy that most networks are alike on them; a search of these takes a
    first look unless the user asks for more.

    Args:
        preset: The preset that the user asks for, if any.
        data: Name or path of the data set.
    """
    if preset is None and data in DATA_SETS:
        preset = QUICK
    return {} if preset is None else dict(preset.settings)
