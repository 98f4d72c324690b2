"""Latency predictors: one per device, space and set of conditions, each with its error card.

A predictor is saved as what was observed of its training networks and is fitted again when it is
loaded, so the cache contains data only, never code.
"""

from __future__ import annotations

import dataclasses
import json
import random
import shlex
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from scipy.stats import spearmanr

from nas.document import digest
from nas.errors import MixnasError, OtherVersionError, OutOfRangeError
from nas.files import cache_folder, write_atomic
from nas.ir import Node, Shape
from nas.latency.conditions import USUAL, Conditions, Latency, MeasurementSettings, utc_now
from nas.latency.deployment import rule_named
from nas.latency.device import Device
from nas.latency.prediction.features import latency_features
from nas.latency.prediction.model import LatencyModel
from nas.latency.prediction.observations import Observation, fitted, forms_seen
from nas.lowering import FormChoice, lowered_tree
from nas.space import Space
from nas.spec import NetworkSpec

SCHEMA: Literal["mixnas.predictor/3"] = "mixnas.predictor/3"
"""Name and version of the file format. The version rises whenever a feature gets another meaning:
features that were saved before must not be fitted as if they had the new one."""
BAND = 0.05  # relative half-width of the band of MAdds around the median
# How far a prediction may lie beyond what the predictor learned. Other networks of the space within
# the same limits are up to 0.15 and 0.10 beyond 100 training networks.
BEYOND = 0.2  # relative distance to the latencies of the training networks
EXTRAPOLATED = 0.15  # share of the prediction that is due to more work of a kind than they have
_CONFIG = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=_CONFIG)
class ErrorCard:
    """Errors of a predictor on networks that it was not fitted to.

    Attributes:
        n: Number of networks.
        within_5: Share of predictions within 5% of the measured latency.
        within_10: Share of predictions within 10% of the measured latency.
        spearman: Spearman rank correlation with the measured latencies; None if undefined.
        spearman_in_band: Spearman rank correlation among the networks within 5% of the median
            MAdds, where ranking is hardest; None if undefined.
        n_in_band: Number of those networks.
        mean_error: Mean absolute relative error.
        errors: Relative errors (prediction / measurement - 1) in ascending order.
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
    """Compare predictions with measurements.

    Args:
        predicted: Predicted latencies, shape (networks,).
        measured: Measured latencies in the same unit, shape (networks,).
        madds: Multiply-adds of the networks, shape (networks,).
    """
    errors = predicted / measured - 1
    in_band = np.abs(madds / np.median(madds) - 1) <= BAND
    return ErrorCard(
        n=len(errors),
        within_5=round(float((np.abs(errors) <= 0.05).mean()), 4),
        within_10=round(float((np.abs(errors) <= 0.10).mean()), 4),
        spearman=_rank_correlation(predicted, measured),
        spearman_in_band=_rank_correlation(predicted[in_band], measured[in_band]),
        n_in_band=int(in_band.sum()),
        mean_error=round(float(np.abs(errors).mean()), 4),
        errors=tuple(round(float(error), 4) for error in sorted(errors)),
    )


def _rank_correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    """Return the Spearman correlation; None for fewer than 4 values or constant ones."""
    if len(a) < 4 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return round(float(spearmanr(a, b)[0]), 4)


@dataclass(frozen=True, config=_CONFIG)
class Predictor:
    """Predicts latency on a device.

    Attributes:
        conditions: Conditions of the latencies.
        space: Name of the space.
        space_digest: Digest of the networks in the space; see `space_digest`.
        profile_digest: Digest of the device profile under which the latencies were measured.
        observations: What was observed of the training networks.
        card: Error card; None if the predictor was not checked.
        when: UTC time at which the predictor was made.
        schema: Name and version of the file format.
    """

    conditions: Conditions
    space: str
    space_digest: str
    profile_digest: str
    observations: tuple[Observation, ...]
    card: ErrorCard | None = None
    when: str = dataclasses.field(default_factory=utc_now)
    schema: Literal["mixnas.predictor/3"] = SCHEMA

    @cached_property
    def model(self) -> LatencyModel:
        """The regression from features to latency; fitted on first use."""
        return fitted(self.observations)

    @cached_property
    def forms(self) -> list[str]:
        """Names of the forms in which networks may run, as far as they were observed."""
        return forms_seen(self.observations)

    @property
    def range_ms(self) -> tuple[float, float]:
        """Lowest and highest latency of the training networks, in milliseconds."""
        latencies = [one.latency_ms for one in self.observations]
        return min(latencies), max(latencies)

    def _beyond(self, features: dict[str, float], predicted_ms: float) -> str | None:
        """Return why a prediction would be a guess, or None if it rests on what was learned."""
        unseen = [name for name, amount in features.items() if amount and name not in self._most]
        if unseen:
            return f"this network has {unseen[0]}, which none of those has"
        low, high = self.range_ms
        if not low / (1 + BEYOND) <= predicted_ms <= high * (1 + BEYOND):
            return f"this network would take {predicted_ms:.2f} ms"
        excess = {
            name: max(0.0, work - self._most.get(name, 0.0)) for name, work in features.items()
        }
        share = self.model.part_ms(excess) / predicted_ms
        if share > EXTRAPOLATED:
            return f"{share:.0%} of this network's work exceeds the most that one of those has"
        return None

    @cached_property
    def _most(self) -> dict[str, float]:
        """The largest amount of work of each kind in a form of a training network."""
        rows = [work for one in self.observations for work in one.work.values()]
        names = {name for row in rows for name in row}
        return {name: max(row.get(name, 0.0) for row in rows) for name in names}

    def fastest(self, spec: NetworkSpec, choice: FormChoice) -> tuple[dict[str, float], float]:
        """Return the features of a network's fastest form, and its latency in milliseconds.

        Args:
            spec: The network.
            choice: Rule that chooses the forms of lowered layers on the device.
        """
        rows = [
            network_features(spec, rule_named(form, choice), self.conditions) for form in self.forms
        ]
        latencies = self.model.predict(rows)
        best = int(latencies.argmin())
        return rows[best], float(latencies[best])

    def predict(self, spec: NetworkSpec, choice: FormChoice) -> Latency:
        """Predict a network's latency, with error bars from the error card.

        Args:
            spec: The network.
            choice: Rule that chooses the forms of lowered layers on the device.

        Raises:
            OutOfRangeError: If the network is too unlike those that the predictor was fitted to.
        """
        features, median = self.fastest(spec, choice)
        if reason := self._beyond(features, median):
            low, high = self.range_ms
            raise OutOfRangeError(
                f"the latency of '{spec.name}' on {self.conditions.device} cannot be predicted: "
                f"the predictor learned from networks of '{self.space}' between {low:.2f} and "
                f"{high:.2f} ms, but {reason}; measure it, or fit a predictor to such networks"
            )
        errors = self.card.errors if self.card else (0.0,)
        # If the relative error is e, the network's latency is prediction / (1 + e).
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
        """Save the predictor in the user's cache and return the file's path."""
        path = _path(self.conditions, self.space_digest)
        write_atomic(path, json.dumps(dataclasses.asdict(self)) + "\n")
        return path


def network_features(
    spec: NetworkSpec, choice: FormChoice, conditions: Conditions
) -> dict[str, float]:
    """Return the features of a network in the form that is run under the conditions."""
    return tree_features(spec.tree(), spec.in_shape, choice, conditions)


def tree_features(
    tree: Node, shape: Shape, choice: FormChoice, conditions: Conditions
) -> dict[str, float]:
    """Return the features of a layer tree in the form that is run under the conditions."""
    form = lowered_tree(tree, shape, choice) if conditions.lowered else tree
    return latency_features(form, shape, conditions.batch)


def space_digest(space: Space) -> str:
    """Return a digest of a space's variables and networks, apart from their number of classes."""
    rng = random.Random(0)
    digests = [space.decode(space.draw(rng)).replace(num_classes=1000).digest() for _ in range(16)]
    variables = [[variable.name, *map(str, variable.labels)] for variable in space.variables]
    return digest([variables, digests])


def load_predictor(
    device: Device,
    space: Space,
    named: str | None = None,
    settings: MeasurementSettings = USUAL,
) -> Predictor:
    """Return the saved predictor for a device and a space under the device's conditions.

    Args:
        device: The device.
        space: Space of the networks.
        named: The user's name for the space, for the messages; a path if the space comes from a
            file. None for the space's own name.
        settings: What the user asked of the device, for the messages.

    Raises:
        OtherVersionError: If another version of mixnas made it.
        MixnasError: If there is no predictor for these conditions, or if the device was examined
            again since it was made. These messages say how to make one, too.
    """
    words = ["--space", named or space.name, "--device", device.name]
    words += _options(settings)
    command = shlex.join(["python", "-m", "nas.device", "fit", *words])
    networks_digest = space_digest(space)
    path = _path(device.conditions, networks_digest)
    predictor = _read(path)
    if predictor is None:
        if schema := _other_version(path):
            raise OtherVersionError(
                f"the latency predictor for '{space.name}' on {device.name} was made by another "
                f"version of mixnas, which counted the work of networks differently ({schema}; "
                f"this version reads {SCHEMA}); make the predictor again: {command}"
            )
        raise MixnasError(f"{_why_none(device, space, path, networks_digest)}: {command}")
    if predictor.profile_digest != device.profile.digest():
        raise MixnasError(
            f"{device.name} was examined again since its latency predictor was made; make the "
            f"predictor again: {command}"
        )
    return predictor


def _options(settings: MeasurementSettings) -> list[str]:
    """Return the options of `nas.device fit` for the settings in which searches may differ."""
    return [
        *([] if settings.threads is None else ["--threads", str(settings.threads)]),
        *([] if settings.batch == 1 else ["--batch", str(settings.batch)]),
        *(["--interval", f"{settings.interval_ms:g}ms"] if settings.interval_ms else []),
    ]


def _why_none(device: Device, space: Space, path: Path, networks_digest: str) -> str:
    """Return why there is no predictor, as a sentence that the command to make one ends."""
    what = f"latency predictor for '{space.name}' on {device.name}"
    others = [
        other
        for other_path in sorted(path.parent.glob(f"{networks_digest}-*.json"))
        if (other := _read(other_path)) is not None and other.conditions.device == device.name
    ]
    if not others:
        return f"there is no {what}; make one"
    differences = "; ".join(device.conditions.differences(others[-1].conditions))
    return f"the {what} was made for {differences}. Make one for these conditions"


def _schema(path: Path) -> str | None:
    """Return the name and version of a file's format; None if it is missing or damaged."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    schema = content.get("schema") if isinstance(content, dict) else None
    return schema if isinstance(schema, str) else None


def _other_version(path: Path) -> str | None:
    """Return the name and version of a predictor's format, if this version does not read it."""
    schema = _schema(path)
    name, _, _ = SCHEMA.rpartition("/")
    return schema if schema and schema != SCHEMA and schema.startswith(f"{name}/") else None


def _read(path: Path) -> Predictor | None:
    """Return a saved predictor; None if it is missing, damaged or of another version."""
    if _schema(path) != SCHEMA:
        return None
    try:
        return TypeAdapter(Predictor).validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _path(conditions: Conditions, networks_digest: str) -> Path:
    return cache_folder("predictors") / f"{networks_digest}-{conditions.digest()}.json"
