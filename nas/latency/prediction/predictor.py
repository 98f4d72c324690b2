"""A device's latency predictor: for one space, under one set of conditions, with its error card.

It holds the features and latencies of the networks it learned from, and is fitted anew when it is
read; nothing in the cache is code.
"""

from __future__ import annotations

import dataclasses
import json
import random
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from scipy.stats import spearmanr

from nas.document import digest
from nas.errors import MixnasError
from nas.files import cache_folder, write_atomic
from nas.ir import Node, Shape
from nas.latency.conditions import Conditions, Latency, utc_now
from nas.latency.device import Device
from nas.latency.prediction.features import latency_features
from nas.latency.prediction.model import LatencyModel
from nas.lowering import FormChoice, lowered_tree
from nas.space import Space
from nas.spec import NetworkSpec

BAND = 0.05  # half the width of the band of MAdds in which ranking is hardest
_CONFIG = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=_CONFIG)
class ErrorCard:
    """How far predictions were off on networks that the predictor had not seen.

    Attributes:
        n: networks.
        within_5: share of predictions within 5% of the measured latency.
        within_10: share within 10%.
        spearman: rank correlation with the measured latencies; None where there is none.
        spearman_in_band: the same over the networks within 5% of the median MAdds.
        n_in_band: how many those are.
        mean_error: mean of the relative errors' sizes.
        errors: the relative errors, smallest first; prediction over measurement, minus 1.
    """

    n: int
    within_5: float
    within_10: float
    spearman: float | None
    spearman_in_band: float | None
    n_in_band: int
    mean_error: float
    errors: tuple[float, ...]


def error_card(predicted: np.ndarray, measured: np.ndarray, madds: np.ndarray) -> ErrorCard:
    """Compare predictions with measurements (one entry a network)."""
    errors = predicted / measured - 1
    inside = np.abs(madds / np.median(madds) - 1) <= BAND
    return ErrorCard(
        len(errors),
        round(float((np.abs(errors) <= 0.05).mean()), 4),
        round(float((np.abs(errors) <= 0.10).mean()), 4),
        _rank_correlation(predicted, measured),
        _rank_correlation(predicted[inside], measured[inside]),
        int(inside.sum()),
        round(float(np.abs(errors).mean()), 4),
        tuple(round(float(error), 4) for error in sorted(errors)),
    )


def _rank_correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    """Return Spearman's; None of too few values, or of values all alike."""
    if len(a) < 4 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return round(float(spearmanr(a, b)[0]), 4)


@dataclass(frozen=True, config=_CONFIG)
class Predictor:
    """Predicts latency on a device.

    Attributes:
        conditions: of the latencies.
        space: name of the space.
        space_digest: of what it holds.
        profile_digest: of the device's time scale and choice of forms.
        features: of the networks it learned from.
        latencies_ms: theirs, at the machine's usual speed.
        trust: in each of them; less where the machine was noisy.
        card: its errors.
        when: it was made, UTC.
    """

    conditions: Conditions
    space: str
    space_digest: str
    profile_digest: str
    features: tuple[dict[str, float], ...]
    latencies_ms: tuple[float, ...]
    trust: tuple[float, ...]
    card: ErrorCard | None = None
    when: str = dataclasses.field(default_factory=utc_now)
    schema: Literal["mixnas.predictor/1"] = "mixnas.predictor/1"

    @cached_property
    def model(self) -> LatencyModel:
        """What tells latency from features; fitted when it is first needed."""
        return LatencyModel(self.features, np.array(self.latencies_ms), np.array(self.trust))

    def predict_ms(self, features: list[dict[str, float]]) -> np.ndarray:
        """Return latencies in milliseconds of networks by their features."""
        return self.model.predict(features)

    def predict(self, spec: NetworkSpec, choice: FormChoice) -> Latency:
        """Predict a network's latency, with its error bars from the error card.

        Args:
            spec: the network.
            choice: of the device's forms.
        """
        features = network_features(spec, choice, self.conditions)
        median = float(self.predict_ms([features])[0])
        errors = self.card.errors if self.card else (0.0,)
        # A prediction that is e too high belongs to a network that takes prediction / (1 + e).
        bounds = np.quantile(1 / (1 + np.array(errors)), [0.025, 0.1, 0.9, 0.975]) * median
        low, p10, p90, high = (round(float(bound), 4) for bound in bounds)
        return Latency(
            **dataclasses.asdict(self.conditions),
            median_ms=round(median, 4),
            p10_ms=p10,
            p90_ms=p90,
            low_ms=low,
            high_ms=high,
            n=0,
            steady_ms=round(median, 4),
            reference_ms=0.0,
            noise=(),
            resolution=spec.input.resolution,
            source="predicted",
            when=utc_now(),
        )

    def save(self) -> Path:
        """Keep it in the user's cache; return where."""
        path = _path(self.conditions, self.space_digest)
        write_atomic(path, json.dumps(dataclasses.asdict(self)) + "\n")
        return path


def network_features(
    spec: NetworkSpec, choice: FormChoice, conditions: Conditions
) -> dict[str, float]:
    """Return the features of a network in the form that runs under these conditions."""
    return tree_features(spec.tree(), spec.in_shape, choice, conditions)


def tree_features(
    tree: Node, shape: Shape, choice: FormChoice, conditions: Conditions
) -> dict[str, float]:
    """Return the features of a layer tree in the form that runs under these conditions."""
    form = lowered_tree(tree, shape, choice) if conditions.lowered else tree
    return latency_features(form, shape, conditions.batch)


def space_digest(space: Space) -> str:
    """Name what networks a space holds, but for their number of classes."""
    rng = random.Random(0)
    drawn = [space.decode(space.draw(rng)).replace(num_classes=1000).digest() for _ in range(16)]
    variables = [[variable.name, *map(str, variable.labels)] for variable in space.variables]
    return digest([variables, drawn])


def load_predictor(device: Device, space: Space, named: str | None = None) -> Predictor:
    """Return the predictor that was made for a device and a space, under the same conditions.

    Args:
        device: examined.
        space: of the networks.
        named: how the user names the space; a file may be called other than the space in it.

    Raises:
        MixnasError: when there is none, with how to make one; or one for other conditions only,
            with what differs.
    """
    make = f"python -m nas.device fit --space {named or space.name} --device {device.name}"
    held = space_digest(space)
    found = _read(_path(device.conditions, held))
    if found is None:
        others = [
            other
            for path in sorted(cache_folder("predictors").glob(f"{held}-*.json"))
            if (other := _read(path)) is not None and other.conditions.device == device.name
        ]
        if not others:
            raise MixnasError(
                f"there is no latency predictor for '{space.name}' on {device.name}; make one: "
                f"{make}"
            )
        differs = "; ".join(device.conditions.differences(others[-1].conditions))
        raise MixnasError(
            f"the latency predictor for '{space.name}' on {device.name} was made for {differs}. "
            f"Make one for these conditions: {make}"
        )
    if found.profile_digest != device.profile.digest():
        raise MixnasError(
            f"{device.name} was examined anew since its latency predictor was made; make the "
            f"predictor again: {make}"
        )
    return found


def _read(path: Path) -> Predictor | None:
    try:
        return TypeAdapter(Predictor).validate_json(path.read_bytes())
    except (OSError, ValidationError):  # none yet, or of another version
        return None


def _path(conditions: Conditions, held: str) -> Path:
    return cache_folder("predictors") / f"{held}-{conditions.digest()}.json"
