"""Testing an estimator on networks that were fully trained; behind ``python -m nas.rank``.

::

    runs/rank-<time>/  ranking.yaml  scores.json  networks.csv  card.json  ranking.svg  ranking.png
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import yaml

from analysis.figures.ranking import ranking_figure
from analysis.figures.style import save
from analysis.statistics.ranking import RankingCard, ranking_card
from nas.accuracy.base import Estimate, Estimator
from nas.accuracy.preparation import facts_before
from nas.accuracy.table import TrainedNetwork
from nas.cost import count
from nas.document import digest, read_document
from nas.errors import MixnasError
from nas.executors.base import Resources, Result, Task
from nas.executors.local import LocalExecutor
from nas.files import claim_folder, refuse_occupied, taken_folder, write_atomic
from nas.ir import Conv, MixConv, walk
from nas.progress import Step
from nas.rank.settings import FEWEST_NETWORKS, RankingSettings
from nas.spec import NetworkSpec
from nas.units import number_of

if TYPE_CHECKING:
    from filelock import FileLock

BASELINES = ("params", "madds", "depth")
"""Columns of the scores that an estimator must beat to be worth its cost."""
_REMEDY = "choose another --out"
_SETTINGS = "ranking.yaml"
_BASIS = "basis"  # in the settings: what is known of the estimator before it is prepared
_TESTED = "tested_networks"  # in the basis: a digest of the networks
_CONTENTS = {"table": _TESTED, "data": "data_fingerprint"}  # what tells more than a name


@dataclass
class RankingRun:
    """The scores of some networks of a table, saved as they come.

    Attributes:
        path: Folder of the ranking.
        estimator: Estimator to test.
        networks: Networks that it is tested on.
        settings: What was asked for; a folder with other settings is refused.
        lock: Lock of the folder, if it has been claimed (see `claimed_folder`).
        results: What became of a network, by its position in `networks`.
    """

    path: Path
    estimator: Estimator
    networks: list[TrainedNetwork]
    settings: RankingSettings
    lock: FileLock | None = field(default=None, repr=False)
    results: dict[int, dict[str, Any]] = field(default_factory=dict)

    def check(self) -> None:
        """Refuse a folder that holds something else, before anything that takes long.

        Raises:
            MixnasError: If the folder holds a ranking with other settings, or something else.
        """
        if not self._settings_file.is_file():
            refuse_occupied(self.path, _REMEDY)
            return
        saved = self._saved_settings()
        saved.pop("fingerprint", None)
        self._check_settings(saved, asdict(self.settings))

    def open(self) -> None:
        """Create the folder, or continue the ranking in it; no other process may work in it then.

        Raises:
            MixnasError: If the folder holds something else, is damaged, or is in use.
        """
        self.check()
        requested = {**asdict(self.settings), "fingerprint": digest(self.estimator.fingerprint())}
        self.path.mkdir(parents=True, exist_ok=True)
        if self.lock is None:
            self.lock = claim_folder(self.path)  # released with this object, at the latest
        if not self._settings_file.is_file():
            written = {**requested, _BASIS: self._basis()}
            write_atomic(self._settings_file, yaml.safe_dump(written, sort_keys=False))
        self._check_settings(self._saved_settings(), requested)
        self._read_scores()

    def _basis(self) -> dict[str, Any]:
        """Return what scores rest on, as far as it is known before the preparation."""
        tested = digest([network.spec.digest() for network in self.networks])
        basis: dict[str, Any] = json.loads(json.dumps(facts_before(self.estimator)))
        return {**basis, _TESTED: tested}

    @property
    def _settings_file(self) -> Path:
        return self.path / _SETTINGS

    @property
    def _scores_file(self) -> Path:
        return self.path / "scores.json"

    def _saved_settings(self) -> dict[str, Any]:
        document = read_document(self._settings_file)
        saved = document.data if isinstance(document.data, dict) else {}
        # Versions that trained on the CPU only, on all images, did not write so.
        return {"on": "cpu", "images_per_class": None, **saved}

    def _check_settings(self, saved: dict[str, Any], requested: dict[str, Any]) -> None:
        """Refuse settings, networks and images that differ from those of the folder.

        Where the contents of the table and of the data set are known, their names do not count:
        they may have been moved.
        """
        known, now = saved.pop(_BASIS, None), self._basis()
        if isinstance(known, dict):  # rankings of earlier versions have none
            now = {name: value for name, value in now.items() if name in known or name != _TESTED}
            for name, content in _CONTENTS.items():
                if content in known and content in now:
                    saved, requested = saved | {name: ""}, requested | {name: ""}
        self._compare(saved, requested)
        if isinstance(known, dict):
            self._compare(known, now)

    def _compare(self, saved: dict[str, Any], requested: dict[str, Any]) -> None:
        """Refuse what differs from what the folder holds."""
        for name in sorted({*saved, *requested}):
            if saved.get(name) != requested.get(name):
                raise MixnasError(
                    f"{self.path} is a ranking with other settings ({name} was {saved.get(name)}, "
                    f"and is {requested.get(name)} now); {_REMEDY}"
                )

    def _read_scores(self) -> None:
        if not self._scores_file.is_file():
            return
        try:
            saved = json.loads(self._scores_file.read_text(encoding="utf-8"))
            self.results = {int(number): _checked_row(row) for number, row in saved.items()}
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise MixnasError(
                f"{self._scores_file} is damaged ({error}); remove it to evaluate all networks "
                "again"
            ) from None

    def run(self, resources: Resources, step: Step) -> None:
        """Evaluate all networks that have not been evaluated yet.

        Args:
            resources: How the machine is shared among the workers.
            step: Called with the number of networks evaluated and their total number.
        """
        missing = [i for i in range(len(self.networks)) if i not in self.results]
        tasks = {i: Task(self.networks[i].spec, self.settings.seed) for i in missing}
        with LocalExecutor(self.estimator, resources) as executor:
            for number, result in executor.run(tasks):
                self.results[number] = _result_row(result)
                write_atomic(self._scores_file, json.dumps(self.results))
                step(len(self.results), len(self.networks))

    def table(self) -> pd.DataFrame:
        """Return one row per network: its true accuracy, costs, and score or reason for none."""
        rows = []
        for number, network in enumerate(self.networks):
            cost = count(network.spec)
            rows.append(
                {
                    "name": network.spec.name,
                    "spec_hash": network.spec.digest(),
                    "accuracy": network.accuracy,
                    "params": cost.params,
                    "madds": cost.madds,
                    "depth": _depth(network.spec),
                    **self.results.get(number, {}),
                }
            )
        return pd.DataFrame(rows)

    def finish(self) -> RankingCard:
        """Write the table, the card and the figure, and return the card.

        Raises:
            MixnasError: If too few networks have a score.
        """
        table = self.table()
        write_atomic(self.path / "networks.csv", table.to_csv(index=False))
        has_score = table["score"].notna()
        self._check_enough(int(has_score.sum()))
        scored = table[has_score]
        card = ranking_card(
            scored,
            scores=["score", *BASELINES],
            replicates=self._replicates(has_score.to_numpy()),
            seed=self.settings.seed,
        )
        write_atomic(self.path / "card.json", json.dumps(self.summary(card), indent=2))
        figure = ranking_figure(scored, card, self.settings.estimator)
        save(figure, self.path / "ranking")
        return card

    def _check_enough(self, scored: int) -> None:
        if scored >= FEWEST_NETWORKS:
            return
        reasons = {row["reason"] for row in self.results.values() if row.get("reason")}
        why = f": {'; '.join(sorted(reasons))}" if reasons else ""
        raise MixnasError(
            f"{scored} of {number_of(len(self.networks), 'network')} have a score, but a "
            "ranking needs at least "
            f"{FEWEST_NETWORKS}{why}"
        )

    def _replicates(self, has_score: np.ndarray) -> np.ndarray | None:
        """Return the accuracies (networks, runs) of networks that were trained repeatedly.

        All networks have as many runs as the one with the fewest; None if that has only one.
        """
        trainings = [
            network.accuracies
            for network, scored in zip(self.networks, has_score, strict=True)
            if scored
        ]
        fewest = min(map(len, trainings))
        return np.array([each[:fewest] for each in trainings]) if fewest > 1 else None

    def summary(self, card: RankingCard) -> dict[str, Any]:
        """Return the card and what it was computed from, as plain data."""
        table = self.table()
        return {
            **asdict(self.settings),
            "fingerprint": self.estimator.fingerprint(),
            "seconds_per_network": round(float(table["seconds"].mean()), 3),
            "without_score": int(table["score"].isna().sum()),
            **card.to_dict(),
        }


def draw_networks(networks: list[TrainedNetwork], n: int, seed: int) -> list[TrainedNetwork]:
    """Draw n networks without replacement; return all of them if there are no more."""
    return networks if n >= len(networks) else Random(seed).sample(networks, n)


def _depth(spec: NetworkSpec) -> int:
    """Return the number of successive convolutions; the groups of a mixed one count once."""
    layers = walk(spec.tree(), spec.in_shape)
    return sum(isinstance(layer.leaf, Conv | MixConv) for layer in layers)


@contextmanager
def claimed_folder(out: Path | None) -> Iterator[tuple[Path, FileLock]]:
    """Take the folder of a ranking, before anything that takes long.

    Args:
        out: The folder, which may hold a ranking to continue; None for a new one below ``runs/``.

    Yields:
        The folder, and its lock. If the block fails, a new folder is removed again.

    Raises:
        MixnasError: If the folder holds something else, or is in use.
    """
    if out is not None and (out / _SETTINGS).is_file():
        yield out, claim_folder(out)
    else:
        with taken_folder(out, "rank") as taken:
            yield taken


_REQUIRED = {"score", "seconds"}
_FURTHER = {"estimated_accuracy", "estimated_loss", "reason"}


def _checked_row(row: Any) -> dict[str, Any]:
    """Return a result that was saved.

    Raises:
        ValueError: If it holds something else than numbers and a reason.
    """
    reason, numbers = row.get("reason", ""), {k: v for k, v in row.items() if k != "reason"}
    if not _REQUIRED <= row.keys() <= _REQUIRED | _FURTHER:
        raise ValueError("a result lacks its score or its seconds, or has what no result has")
    if not isinstance(reason, str):
        raise ValueError("the reason of a result is no text")
    if not all(value is None or isinstance(value, int | float) for value in numbers.values()):
        raise ValueError("a result holds something else than numbers")
    return dict(row)


def _result_row(result: Result) -> dict[str, Any]:
    if isinstance(result, Estimate):
        return {
            "score": result.score,
            "seconds": result.seconds,
            "estimated_accuracy": result.accuracy,
            "estimated_loss": result.loss,
        }
    return {"score": None, "seconds": None, "reason": result.reason}
