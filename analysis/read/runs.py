"""Reading the run directory that a search writes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.document import read_yaml, reason
from analysis.errors import AnalysisError, are_whole, is_numeric
from analysis.read.devices import LATENCY_MS, devices_of, file_names, limits_on, table_on
from analysis.read.files import read_table
from analysis.read.limits import Bound, bounds
from analysis.read.retraining import read_retraining
from analysis.schema import LIMITED, RAW_SCORE, Direction, on_device
from analysis.units import differ, score_text

_TRUTHS = {"true": True, "1": True, "1.0": True, "yes": True}
_TRUTHS |= dict.fromkeys(("false", "0", "0.0", "no", "nan", "none", ""), False)
_PRETRAINED = (
    "Retraining started from what each network shares with a pretrained one; the rest of its "
    "weights was random, which is most of them for some references."
)
CONFIG = ("space", "data", "device", "command")
"""Keys that every ``config.yaml`` has."""
SCALE = "score_scale"
"""Key of the conditions that says what scores are: their ``label``, and ``is_accuracy``."""
GUESSED = "guessed"
"""Key of `SCALE` with the number of validation ``images``, and of those that are ``right`` if all
are assigned to the most frequent class."""
DEPTHWISE = "depthwise_ms"
"""Key of the conditions with the device's time of a depthwise convolution, by kernel size."""
CLIFF = "depthwise_cliff"
"""Key of the conditions with the first kernel size whose taps take far longer, if there is one."""
DEVICES = "devices"
"""Key of the conditions with those of the second device and the others, by device."""
OF_A_DEVICE = ("latencies", DEPTHWISE, CLIFF, "predictor")
"""Keys of the conditions that belong to the first device."""
FACTS = ("scores", "latencies")
"""Keys of the conditions with what the scores and the latencies of a run rest on."""
NUMBERS = (
    "params",
    "madds",
    "accuracy",
    "latency_ms",
    "latency_p10_ms",
    "latency_p90_ms",
)
"""Numeric columns of the tables of trials and reference networks."""
REQUIRED_COLUMNS = ("state", "reason", "spec_hash", *NUMBERS)
OBJECTIVES: dict[str, Direction] = {"score": "max", "latency_ms": "min"}
"""Direction of a search's objectives, by column."""


@dataclass(frozen=True)
class Run:
    """A search.

    Attributes:
        path: The run directory.
        config: Configuration of the search.
        trials: One row per trial, whatever its state.
        references: Reference networks in the columns of `trials`, and their ``name``.
        retrained: Retraining results of the best networks, with `RETRAINING_COLUMNS`.
        conditions: Machine, versions and data behind the results; empty if unknown.
        best: Name of the trial whose network is in ``best.yaml``; empty if there is none.
        winners: The same for each of several devices.
    """

    path: Path
    config: dict[str, Any]
    trials: pd.DataFrame
    references: pd.DataFrame
    retrained: pd.DataFrame
    conditions: dict[str, Any]
    best: str
    winners: Mapping[str, str] = field(default_factory=dict)

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices of the search; plain columns and files are those of the first one.

        A device that has just joined the search is left out as long as the tables lack it.
        """
        first, *others = devices_of(self.config["device"])
        return (first, *(name for name in others if on_device(LATENCY_MS, name) in self.trials))

    def on(self, device: str) -> Run:
        """Return the run as if it had searched on one of its devices alone."""
        if not isinstance(self.config["device"], list):
            return self
        conditions = self.conditions
        if device != self.devices[0]:
            others = self._recorded(DEVICES).get(device)
            own = others if isinstance(others, dict) else {}
            conditions = {k: v for k, v in conditions.items() if k not in OF_A_DEVICE} | own
        return replace(
            self,
            config={**self.config, "device": device, "limits": limits_on(self.limits, device)},
            trials=table_on(self.trials, device),
            references=table_on(self.references, device),
            conditions=conditions,
            best=self.winners.get(device, ""),
        )

    @property
    def completed(self) -> pd.DataFrame:
        """The trials that have a score and a latency."""
        return self.trials[self.trials["state"] == "complete"]

    @property
    def smoothed(self) -> bool:
        """Whether some score is not what was estimated; see `analysis.schema.RAW_SCORE`."""
        pairs = zip(self.completed["score"], self.completed[RAW_SCORE], strict=True)
        return any(differ(score, raw) for score, raw in pairs)

    @property
    def limits(self) -> dict[str, str]:
        """The limits of the search as text, by metric."""
        limits = self.config.get("limits")
        return {str(m): str(t) for m, t in limits.items()} if isinstance(limits, dict) else {}

    @property
    def bounds(self) -> dict[str, Bound]:
        """The limits of the search as numbers, by column."""
        return bounds(self.limits)

    @property
    def by_accuracy(self) -> bool:
        """Whether scores are accuracies, as the estimator of the search declared."""
        declared = self._recorded(SCALE).get("is_accuracy")
        if isinstance(declared, bool):
            return declared
        # Versions that did not record it: a supernet's scores are accuracies of shared weights.
        if self._recorded("scores").get("estimator") == "supernet":
            return True
        return bool((self.completed[RAW_SCORE] == self.completed["accuracy"]).all())

    @property
    def guessed(self) -> tuple[int, int] | None:
        """How many validation images guessing gets right, and of how many; None if not known."""
        found = self._recorded(SCALE).get(GUESSED)
        if not isinstance(found, dict) or not self.by_accuracy:
            return None
        right, images = found.get("right"), found.get("images")
        if not isinstance(right, int) or not isinstance(images, int) or not 0 < right <= images:
            return None
        return right, images

    @property
    def label(self) -> str:
        """Name of the scores, with the side of the images that they rest on."""
        name = f"score of {self.config.get('estimator', 'the estimator')}"
        if self.by_accuracy:
            name = str(self._recorded(SCALE).get("label") or "validation accuracy")
        return f"{name}{self.side_text('scores')}"

    def _recorded(self, key: str) -> dict[str, Any]:
        """Return a part of the conditions; empty if it is missing or is no mapping."""
        part = self.conditions.get(key)
        return part if isinstance(part, dict) else {}

    @property
    def facts(self) -> dict[str, dict[str, Any]]:
        """What scores and latencies rest on, as far as it is recorded, by ``scores``, ..."""
        return {key: part for key in FACTS if (part := self._recorded(key))}

    @property
    def head_start(self) -> str:
        """A sentence on retrained networks that began with trained weights; empty if none did."""
        known = self._recorded("retraining")
        if known.get("from") != "supernet":
            return _PRETRAINED if known.get("pretrained") else ""
        return (
            "Retraining started from the weights of the search's supernet, but from random ones "
            "for networks that it has no weights of, such as most references: these have seen "
            "fewer images."
        )

    def side_text(self, what: str) -> str:
        """Return the side of the images that numbers rest on, such as " at 36 px".

        Args:
            what: Key of the estimator in `conditions`: ``scores`` or ``retraining``.

        Returns:
            The text; empty if the side is not known.
        """
        side = self._side(what)
        return "" if side is None else f" at {side} px"

    @property
    def side(self) -> int | None:
        """Side of the images that scores rest on, in pixels; None if it is not known."""
        return self._side("scores")

    def _side(self, what: str) -> int | None:
        side = self._recorded(what).get("resolution")
        return side if isinstance(side, int) else None

    def score_text(self, score: float) -> str:
        """Return a score as text, in percent if it is an accuracy."""
        return score_text(score, self.by_accuracy)


def within_limits(table: pd.DataFrame) -> pd.DataFrame:
    """Return the networks that satisfy the search's limits.

    A table without the column `LIMITED` is returned whole. Where the column is empty, the network
    is left out.

    Raises:
        AnalysisError: If the column holds anything but true and false.
    """
    if LIMITED not in table:
        return table
    satisfied = table[LIMITED].map(lambda cell: _TRUTHS.get(str(cell).strip().lower()))
    if satisfied.isna().any():
        odd = table.loc[satisfied.isna(), LIMITED].iloc[0]
        raise AnalysisError(f"the column '{LIMITED}' must hold true or false, not '{odd}'")
    return table[satisfied.astype(bool)]


def plain(value: Any) -> Any:
    """Return data with every float that is not finite replaced by None, since JSON has none."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def json_text(data: Any) -> str:
    """Return data as JSON text; numbers that are not finite become null."""
    return json.dumps(plain(data), indent=2, allow_nan=False, default=_python_value)


def _python_value(value: Any) -> Any:
    """Return a numpy scalar as a Python number, anything else as text."""
    return plain(value.item()) if hasattr(value, "item") else str(value)


def read_run(path: Path) -> Run:
    """Read a run directory.

    Raises:
        AnalysisError: If the path is not a run directory, or one of its files is damaged.
    """
    references_file, conditions_file = path / "references.csv", path / "conditions.yaml"
    try:
        config = read_yaml(path / "config.yaml")
        trials = read_table(path / "trials.csv")
        references = read_table(references_file) if references_file.is_file() else trials.head(0)
        conditions = read_yaml(conditions_file) if conditions_file.is_file() else {}
        retrained = read_retraining(path)
        best = _best_trial(path / "best.yaml")
    except NotADirectoryError:
        raise AnalysisError(f"{path} is a file, not a run directory") from None
    except FileNotFoundError as error:
        name = Path(error.filename).name
        raise AnalysisError(f"{path} is not a finished run directory: it has no {name}") from None
    except (OSError, ValueError) as error:
        raise AnalysisError(f"{path} cannot be read: {reason(error)}") from None
    if not isinstance(config, dict) or not config.keys() >= set(CONFIG):
        needed = ", ".join(CONFIG)
        raise AnalysisError(f"{path / 'config.yaml'} is damaged: it must have the keys {needed}")
    files = file_names(devices_of(config["device"]))
    if not isinstance(conditions, dict):
        raise AnalysisError(f"{conditions_file} is damaged: it is not a mapping")
    _check_table(trials, path / "trials.csv")
    _check_table(references, references_file)
    return Run(
        path=path,
        config=config,
        trials=with_scores(trials.astype({"number": "int64"}) if len(trials) else trials),
        references=with_scores(references),
        retrained=retrained,
        conditions=conditions,
        best=best,
        winners={d: _best_trial(path / f"best@{name}.yaml") for d, name in files.items()},
    )


def _best_trial(file: Path) -> str:
    """Return the trial whose network a file holds; it is named SPACE_trial_NUMBER."""
    document = read_yaml(file) if file.is_file() else None
    name = str(document.get("name", "")) if isinstance(document, dict) else ""
    _, separator, number = name.rpartition("_trial_")
    return f"trial_{number}" if separator else ""


def with_scores(table: pd.DataFrame) -> pd.DataFrame:
    """Add the scores that a table of an earlier version lacks.

    They were the accuracies once, and later as they had been estimated.
    """
    if "score" not in table:
        table = table.assign(score=table["accuracy"])
    return table if RAW_SCORE in table else table.assign(**{RAW_SCORE: table["score"]})


def _check_table(table: pd.DataFrame, path: Path) -> None:
    """Raise an error if a table lacks a column or has text in a numeric one."""
    identifier = "number" if path.name == "trials.csv" else "name"
    required = (identifier, *REQUIRED_COLUMNS) if len(table) else REQUIRED_COLUMNS
    missing = [column for column in required if column not in table.columns]
    if missing:
        raise AnalysisError(f"{path} is damaged: it has no column '{missing[0]}'")
    plain_names = {str(name): str(name).partition("@")[0] for name in table}
    numeric = (*NUMBERS, "score", RAW_SCORE)
    for column in (name for name, plain in plain_names.items() if plain in numeric):
        if not is_numeric(table[column]):
            raise AnalysisError(f"{path} is damaged: the column '{column}' holds text")
    if len(table):
        _check_identifiers(table[identifier], path)


def _check_identifiers(values: pd.Series, path: Path) -> None:
    """Raise an error unless every row can be told from the others."""
    if values.isna().any():
        raise AnalysisError(f"{path} is damaged: a row has no {values.name}")
    if values.name == "number":
        if not is_numeric(values):
            raise AnalysisError(f"{path} is damaged: the column 'number' holds text")
        if not are_whole(values):
            raise AnalysisError(f"{path} is damaged: the column 'number' must hold whole numbers")
    if values.duplicated().any():
        twice = values[values.duplicated()].iloc[0]
        raise AnalysisError(f"{path} is damaged: two rows have the {values.name} {twice}")
