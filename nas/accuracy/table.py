"""Tables of networks that were trained, and the estimator that looks networks up in one.

A table is one of

- JSON: ``{"networks": [{"spec": ..., "accuracy": 0.93, "accuracies": [0.929, 0.931]}]}``, where
  ``spec`` is a network as in its YAML document, or the path of one (from the table's folder on),
  and ``accuracies`` are those of several trainings, if there were;
- CSV with the columns ``spec`` and ``accuracy``;
- a run's ``trials.csv``, whose networks are read from the run's space.

Accuracies are shares, 0..1.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from nas.accuracy.base import Estimate, EstimateError
from nas.document import digest
from nas.errors import MixnasError
from nas.space import load_space
from nas.space.rows import genotype_of_row
from nas.spec import NetworkSpec, load_network


@dataclass(frozen=True)
class TrainedNetwork:
    """One row.

    Attributes:
        spec: the network.
        accuracies: of its trainings, 0..1.
    """

    spec: NetworkSpec
    accuracies: tuple[float, ...]

    @property
    def accuracy(self) -> float:
        """The mean of its trainings."""
        return sum(self.accuracies) / len(self.accuracies)


def read_networks(path: Path, classes: int | None = None) -> list[TrainedNetwork]:
    """Read a table.

    Args:
        path: of the file.
        classes: of the networks of a run, whose space does not say how many its data had.

    Raises:
        MixnasError: when there is none, or a row of it is wrong.
    """
    try:
        rows = _json_rows(path) if path.suffix == ".json" else _csv_rows(path, classes)
    except FileNotFoundError:
        raise MixnasError(f"there is no table {path}") from None
    except (OSError, ValueError) as error:
        raise MixnasError(f"{path} cannot be read: {error}") from None
    if not rows:
        raise MixnasError(
            f"{path} has no trained networks: in no row is there an accuracy (a search has some "
            "where its estimator trains networks, as short does)"
        )
    return [_network(row, path, number) for number, row in enumerate(rows, start=1)]


def _json_rows(path: Path) -> list[dict[str, Any]]:
    data = json.loads(path.read_text(encoding="utf-8"))
    rows = data.get("networks") if isinstance(data, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise MixnasError(f'{path} is no table of networks: wanted is {{"networks": [...]}}')
    return rows


def _csv_rows(path: Path, classes: int | None) -> list[dict[str, Any]]:
    table = pd.read_csv(path)
    if "accuracy" not in table:
        raise MixnasError(f"{path} has no column 'accuracy'")
    table = table[table["accuracy"].notna()]
    if "spec" in table:
        return [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]
    return _trial_rows(path, table, classes)


def _trial_rows(path: Path, table: pd.DataFrame, classes: int | None) -> list[dict[str, Any]]:
    """Return the rows of a run's trials, whose networks its space tells."""
    home = path.parent / "space.yaml"
    if not home.is_file():
        raise MixnasError(f"{path} has no column 'spec', and there is no space.yaml beside it")
    space = load_space(str(home))
    if classes is not None:
        space = space.with_classes(classes)
    return [
        {"spec": space.decode(genotype_of_row(row, space)), "accuracy": row["accuracy"]}
        for row in table.to_dict("records")
    ]


def _network(row: dict[str, Any], path: Path, number: int) -> TrainedNetwork:
    where = f"{path}, network {number}"
    spec = row.get("spec")
    if isinstance(spec, str):
        spec = load_network(str(path.parent / spec))
    elif isinstance(spec, dict):
        try:
            spec = NetworkSpec.from_dict(spec)
        except MixnasError as error:
            raise MixnasError(f"{where}: {error}") from None
    if not isinstance(spec, NetworkSpec):
        raise MixnasError(f"{where}: 'spec' is a network or the path of its document")
    found = row.get("accuracies") or [row.get("accuracy")]
    if not isinstance(found, list) or not all(map(_is_share, found)):
        raise MixnasError(f"{where}: accuracies are shares from 0 to 1, not {found}")
    return TrainedNetwork(spec, tuple(float(value) for value in found))


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value <= 1


@dataclass(frozen=True)
class TrainedNetworks:
    """Knows the accuracies of networks that were trained before.

    Attributes:
        path: of the table.
    """

    path: str

    def fingerprint(self) -> dict[str, Any]:
        """See `Estimator.fingerprint`."""
        known = _by_digest(self.path)
        return {"estimator": "table", "networks": digest({k: list(v) for k, v in known.items()})}

    def prepare(self, step: Any = None) -> list[str]:
        """See `PreparedEstimator`: the table is read, and its mistakes are told."""
        _by_digest(self.path)
        return []

    def estimate(self, spec: NetworkSpec, seed: int) -> Estimate:
        """See `Estimator.estimate`; the seed chooses one of several trainings."""
        known = _by_digest(self.path)
        accuracies = known.get(_identity(spec))
        if accuracies is None:
            raise EstimateError(f"the table has no such network ({len(known)} others)")
        return Estimate(accuracies[seed % len(accuracies)], None, 0.0, seed)


def _identity(spec: NetworkSpec) -> str:
    """Return a network's digest without its classes, which follow from the data."""
    return spec.replace(num_classes=1).digest()


@lru_cache(maxsize=2)
def _by_digest(path: str) -> dict[str, tuple[float, ...]]:
    return {_identity(row.spec): row.accuracies for row in read_networks(Path(path))}
