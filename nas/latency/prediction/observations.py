"""What a predictor learns from: the work and the time of every form of the measured networks.

A lowered network runs in the fastest of a few forms (`nas.latency.deployment`). All of them (with
pauses between runs, those close to the fastest) were timed before that one was measured; so each
network teaches several things, and the form in which a network that was not measured will run is
predicted together with its latency.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from nas.latency.conditions import Latency
from nas.latency.deployment import BRANCHES, BY_LAYER, SIMPLE_RULES
from nas.latency.prediction.model import LatencyModel

Work = Mapping[str, float]
"""Amounts of work by kind; see `nas.latency.prediction.features`."""
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NOISY_TRUST = 0.1  # weight of a latency that was measured on a noisy machine
ROUGH_TRUST = 0.3  # weight of the rough time of a form that was not kept


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Observation:
    """One measured network.

    Attributes:
        latency_ms: Latency at the machine's usual speed, in milliseconds.
        trust: Weight of the latency in a fit; smaller where the machine was noisy.
        form: Name of the form that was measured; empty if none was chosen.
        work: Amounts of work of each form that was timed, by its name.
        ratios: Times of these forms in units of that of the measured one.
    """

    latency_ms: _Positive
    trust: _Positive
    form: str
    work: dict[str, dict[str, Annotated[float, Field(allow_inf_nan=False)]]]
    ratios: dict[str, _Positive]

    def __post_init__(self) -> None:
        """Refuse what a damaged file says.

        Raises:
            ValueError: If the form that was measured, or another one, has no work or no ratio.
        """
        if self.work.keys() != self.ratios.keys() or self.form not in self.work:
            raise ValueError(f"forms with work {sorted(self.work)}, ratios {sorted(self.ratios)}")


def observe(latency: Latency, work_of: Callable[[str], dict[str, float]]) -> Observation:
    """Return what is learned from a measured latency.

    Args:
        latency: The latency.
        work_of: Returns the amounts of work of the network in the form of a name.
    """
    own = latency.forms_ms.get(latency.form, 0.0)
    known = {latency.form, BY_LAYER, BRANCHES, *SIMPLE_RULES}
    timed = {name: ms / own for name, ms in latency.forms_ms.items() if own and name in known}
    ratios = {**timed, latency.form: 1.0}
    return Observation(
        latency_ms=latency.steady_ms,
        trust=trust(latency),
        form=latency.form,
        work={name: work_of(name) for name in ratios},
        ratios=ratios,
    )


def trust(latency: Latency) -> float:
    """Return the weight of a measured latency in a fit."""
    return NOISY_TRUST if latency.noise else 1.0


def fitted(observations: Sequence[Observation]) -> LatencyModel:
    """Return the regression from work to latency; the same observations give the same one."""
    rows = [(one, name) for one in observations for name in sorted(one.work)]
    return LatencyModel(
        [one.work[name] for one, name in rows],
        np.array([one.latency_ms * one.ratios[name] for one, name in rows]),
        np.array([_weight(one, name) for one, name in rows]),
    )


def _weight(observation: Observation, form: str) -> float:
    """Return the weight of a form in a fit: the slower it is, the less it tells of the fastest."""
    rough = 1.0 if form == observation.form else ROUGH_TRUST
    return observation.trust * rough / max(1.0, observation.ratios[form])


def forms_seen(observations: Sequence[Observation]) -> list[str]:
    """Return the names of the forms in which some network was measured, in order.

    The others were never the fastest, and predicting them would take its time.
    """
    return sorted({one.form for one in observations})
