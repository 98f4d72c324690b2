"""Judging an estimator on networks that were fully trained; behind ``python -m nas.rank``."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import yaml

from analysis.figures.ranking import ranking_figure
from analysis.statistics.ranking import RankingCard, ranking_card
from nas.accuracy import Estimate, Estimator
from nas.accuracy.table import TrainedNetwork
from nas.cost import count
from nas.document import digest
from nas.errors import MixnasError
from nas.executors.local import LocalExecutor, Resources
from nas.executors.worker import Result, Task
from nas.files import write_atomic
from nas.ir import Conv, MixConv, walk
from nas.spec import NetworkSpec

BASELINES = ("params", "madds", "depth")
FEWEST = 3  # networks with a score that a card can be drawn from


@dataclass
class RankingRun:
    """The scores of some networks of a table, kept as they come.

    Attributes:
        path: folder that keeps them.
        estimator: being judged.
        networks: that it is judged on.
        seed: of their drawing, and of the estimator.
        settings: what was asked for; a folder of other settings is refused.
    """

    path: Path
    estimator: Estimator
    networks: list[TrainedNetwork]
    seed: int
    settings: dict[str, Any]
    results: dict[int, dict[str, Any]] = field(default_factory=dict)

    def open(self) -> None:
        """Make the folder, or go on in it.

        Raises:
            MixnasError: when it holds something else.
        """
        known = {**self.settings, "fingerprint": digest(self.estimator.fingerprint())}
        file = self.path / "ranking.yaml"
        if file.is_file():
            if yaml.safe_load(file.read_text(encoding="utf-8")) != known:
                raise MixnasError(
                    f"{self.path} is a ranking of other settings; choose another --out"
                )
            if self._scores.is_file():
                kept = json.loads(self._scores.read_text(encoding="utf-8"))
                self.results = {int(key): value for key, value in kept.items()}
            return
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise MixnasError(f"{self.path} exists; choose another --out")
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomic(file, yaml.safe_dump(known, sort_keys=False))

    @property
    def _scores(self) -> Path:
        return self.path / "scores.json"

    def run(self, resources: Resources, step: Callable[[int, int], None]) -> None:
        """Judge all networks that have no score yet."""
        missing = [i for i in range(len(self.networks)) if i not in self.results]
        tasks = {i: Task(self.networks[i].spec, self.seed) for i in missing}
        with LocalExecutor(self.estimator, resources) as executor:
            for key, result in executor.run(tasks):
                self.results[key] = _kept(result)
                write_atomic(self._scores, json.dumps(self.results))
                step(len(self.results), len(self.networks))

    def table(self) -> pd.DataFrame:
        """Return one row a network: costs, true accuracy, the score or why there is none."""
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
        """Write table, card and figure, and return the card.

        Raises:
            MixnasError: when too few networks have a score.
        """
        table = self.table()
        write_atomic(self.path / "networks.csv", table.to_csv(index=False))
        good = table["score"].notna()
        if good.sum() < FEWEST:
            reasons = {row["reason"] for row in self.results.values() if row.get("reason")}
            why = f": {'; '.join(sorted(reasons))}" if reasons else ""
            raise MixnasError(
                f"{good.sum()} of {len(table)} networks have a score, wanted are {FEWEST}{why}"
            )
        card = ranking_card(
            table[good], ["score", *BASELINES], self._replicates(good.to_numpy()), self.seed
        )
        write_atomic(self.path / "card.json", json.dumps(self.summary(card), indent=2))
        figure = ranking_figure(table[good], card, self.settings["estimator"])
        for ending in ("svg", "png"):
            figure.savefig(self.path / f"ranking.{ending}", dpi=150)
        return card

    def _replicates(self, good: np.ndarray) -> np.ndarray | None:
        kept = [
            network.accuracies for network, take in zip(self.networks, good, strict=True) if take
        ]
        fewest = min(len(accuracies) for accuracies in kept)
        return np.array([found[:fewest] for found in kept]) if fewest > 1 else None

    def summary(self, card: RankingCard) -> dict[str, Any]:
        """Return the card with what it is of, as plain data."""
        table = self.table()
        return {
            **self.settings,
            "fingerprint": self.estimator.fingerprint(),
            "seconds_per_network": round(float(table["seconds"].mean()), 3),
            "without_score": int(table["score"].isna().sum()),
            **card.to_dict(),
        }


def _depth(spec: NetworkSpec) -> int:
    """Return how many convolutions stand one after the other; those side by side count once."""
    layers = walk(spec.tree(), spec.in_shape)
    return sum(isinstance(layer.leaf, Conv | MixConv) for layer in layers)


def _kept(result: Result) -> dict[str, Any]:
    if isinstance(result, Estimate):
        return {
            "score": result.score,
            "seconds": result.seconds,
            "estimated_accuracy": result.accuracy,
            "estimated_loss": result.loss,
        }
    return {"score": None, "seconds": None, "reason": result.reason}


def drawn(networks: list[TrainedNetwork], n: int, seed: int) -> list[TrainedNetwork]:
    """Draw networks from a table without replacement; all of them if it has no more."""
    return networks if n >= len(networks) else Random(seed).sample(networks, n)
