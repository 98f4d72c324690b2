"""Tables of trained networks, and the estimator that looks networks up in such a table.

A table is one of

- JSON: ``{"networks": [{"spec": ..., "accuracy": 0.93, "accuracies": [0.929, 0.931]}]}``, where
  ``spec`` is a network as in its YAML document, or the path of such a document relative to the
  table's folder; ``accuracies``, if there are any, are those of several training runs and take
  precedence over ``accuracy``;
- CSV with the columns ``spec`` (a path as above) and ``accuracy``;
- the ``trials.csv`` of a search, whose networks are decoded with the ``space.yaml`` beside it.

Accuracies are fractions, 0..1.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from nas.accuracy.base import Estimate, EstimateError
from nas.document import digest, read_document
from nas.errors import MixnasError
from nas.files import parsing
from nas.progress import Step
from nas.space import load_space
from nas.space.rows import genotype_of_row
from nas.spec import NetworkSpec, load_network


@dataclass(frozen=True)
class TrainedNetwork:
    """One row of a table.

    Attributes:
        spec: The network.
        accuracies: Accuracies of its training runs, 0..1; at least one.
    """

    spec: NetworkSpec
    accuracies: tuple[float, ...]

    @property
    def accuracy(self) -> float:
        """Mean accuracy of its training runs."""
        return sum(self.accuracies) / len(self.accuracies)


def read_networks(path: Path, classes: int | None = None) -> list[TrainedNetwork]:
    """Read a table; rows of a CSV file that have no accuracy are left out.

    Args:
        path: Path of the file.
        classes: Number of classes of the networks in a ``trials.csv``, since the space beside it
            does not know the data set; None for that of the space.

    Raises:
        MixnasError: If there is no such file, it cannot be read, or a row is invalid.
    """
    if not path.is_file():
        raise MixnasError(f"there is no table {path}; give the path of a JSON or CSV file")
    rows = _json_rows(path) if path.suffix == ".json" else _csv_rows(path, classes)
    if not rows:
        raise MixnasError(
            f"{path} has no trained networks: no row has an accuracy (those of a search have one "
            "if its estimator trains networks, as short does)"
        )
    return [_network(row, path, number) for number, row in enumerate(rows, start=1)]


def _json_rows(path: Path) -> list[dict[str, Any]]:
    with parsing(path):
        data = json.loads(path.read_text(encoding="utf-8"))
    rows = data.get("networks") if isinstance(data, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise MixnasError(f'{path} is not a table of networks; expected {{"networks": [...]}}')
    return rows


def _csv_rows(path: Path, classes: int | None) -> list[dict[str, Any]]:
    with parsing(path):
        # Whatever the name ends in: few packed bytes may stand for more than memory holds.
        table = pd.read_csv(path, compression=None)
    if "accuracy" not in table:
        raise MixnasError(f"{path} has no column 'accuracy'; add one with values from 0 to 1")
    table = table[table["accuracy"].notna()]
    if "spec" in table:
        return [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]
    return _trial_rows(path, table, classes)


def _trial_rows(path: Path, table: pd.DataFrame, classes: int | None) -> list[dict[str, Any]]:
    """Return the rows of a search's trials, with the networks that its space decodes."""
    document = path.parent / "space.yaml"
    if not document.is_file():
        raise MixnasError(f"{path} has no column 'spec', and there is no space.yaml beside it")
    if _with_shared_weights(path.parent):
        raise MixnasError(
            f"{path} has no trained networks: its accuracies are those of a supernet, with weights "
            "that all networks share; give the trials of a search with short training"
        )
    space = load_space(str(document))
    if classes is not None:
        space = space.with_classes(classes)
    rows = []
    for number, row in enumerate(table.to_dict("records"), start=1):
        with parsing(f"{path}, network {number}"):
            spec = space.decode(genotype_of_row(row, space))
        rows.append({"spec": spec, "accuracy": row["accuracy"]})
    return rows


def _with_shared_weights(run: Path) -> bool:
    """Return whether the accuracies in a run directory are those of a supernet."""
    conditions = run / "conditions.yaml"
    if not conditions.is_file():
        return False
    facts = read_document(conditions).data
    scores = facts.get("scores") if isinstance(facts, dict) else None
    return isinstance(scores, dict) and scores.get("estimator") == "supernet"


def _network(row: dict[str, Any], path: Path, number: int) -> TrainedNetwork:
    where = f"{path}, network {number}"
    spec = row.get("spec")
    if isinstance(spec, str):
        spec = load_network(str(path.parent / spec))
    elif isinstance(spec, dict):
        try:
            with parsing("its spec"):  # which may be nested deeply
                spec = NetworkSpec.from_dict(spec)
        except MixnasError as error:
            raise MixnasError(f"{where}: {error}") from None
    if not isinstance(spec, NetworkSpec):
        raise MixnasError(f"{where}: 'spec' must be a network or the path of its document")
    accuracies = row.get("accuracies") or [row.get("accuracy")]
    if not isinstance(accuracies, list) or not all(map(_is_fraction, accuracies)):
        raise MixnasError(
            f"{where}: accuracies must be fractions from 0 to 1, but they are {accuracies}"
        )
    return TrainedNetwork(spec, tuple(float(accuracy) for accuracy in accuracies))


def _is_fraction(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 <= value <= 1


@dataclass(frozen=True)
class TableLookup:
    """Looks up the accuracies of networks in a table; an `Estimator`.

    Networks are identified by their layers, whatever their names and numbers of classes.

    Attributes:
        path: Path of the table.
    """

    path: str

    def fingerprint(self) -> dict[str, Any]:
        """See `Estimator.fingerprint`."""
        networks = {key: list(values) for key, values in _accuracies(self.path).items()}
        return {"estimator": "table", "networks": digest(networks)}

    def prepare(self, step: Step | None = None) -> list[str]:
        """See `PreparedEstimator`; reads the table, so that errors in it show at once."""
        _accuracies(self.path)
        return []

    def estimate(self, spec: NetworkSpec, seed: int) -> Estimate:
        """See `Estimator.estimate`; the seed chooses one of several training runs."""
        table = _accuracies(self.path)
        accuracies = table.get(_identity(spec))
        if accuracies is None:
            raise EstimateError(f"the network is not among the {len(table)} of the table")
        accuracy = accuracies[seed % len(accuracies)]
        return Estimate(accuracy=accuracy, loss=None, seconds=0.0, seed=seed)


def _identity(spec: NetworkSpec) -> str:
    """Return a network's digest without its number of classes, which follows from the data."""
    return spec.replace(num_classes=1).digest()


@lru_cache(maxsize=2)
def _accuracies(path: str) -> dict[str, tuple[float, ...]]:
    """Return the accuracies in a table by the identity of the network."""
    return {_identity(row.spec): row.accuracies for row in read_networks(Path(path))}
