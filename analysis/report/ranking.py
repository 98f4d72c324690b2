"""A ranking card in words: as a table, and from the file that ``nas.rank`` leaves."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.errors import AnalysisError
from analysis.files import write_atomic
from analysis.statistics.ranking import Interval, Ranking, RankingCard

NAMES = {"score": "the estimator", "params": "parameters", "madds": "MAdds", "depth": "depth"}
FILE = "ranking.json"
"""Where a run keeps the card of its estimator."""


@dataclass(frozen=True)
class SavedCard:
    """A card with what it is of.

    Attributes:
        card: the statistics.
        estimator: as ``nas.rank`` was given it.
        data: likewise.
        table: of trained networks.
        seconds: that a network took, on average.
        fingerprint: of the estimator.
    """

    card: RankingCard
    estimator: str
    data: str
    table: str
    seconds: float
    fingerprint: dict[str, Any]


def ranking_header(card: RankingCard) -> list[str]:
    """Return the titles of a card's columns."""
    tops = [f"best {k}" for k in card.rankings[0].precision]
    return ["", "Kendall tau", "Spearman", "tau at like MAdds", *tops]


def ranking_rows(card: RankingCard) -> list[list[str]]:
    """Return a card's cells: the score first, then what it must beat, at last the ceiling."""
    rows = [
        [
            NAMES.get(ranking.name, ranking.name),
            interval_text(ranking.tau),
            interval_text(ranking.spearman),
            interval_text(ranking.band),
            *(interval_text(share, percent=True) for share in ranking.precision.values()),
        ]
        for ranking in card.rankings
    ]
    if card.seeds is not None:
        tops = len(card.rankings[0].precision)
        rows.append(["another full training", interval_text(card.seeds), *[""] * (2 + tops)])
    return rows


def interval_text(interval: Interval, percent: bool = False) -> str:
    """Write a statistic with its interval; a dash where it is not known."""
    if interval.value != interval.value:
        return "-"
    unit = ".0%" if percent else ".2f"
    low, high = format(interval.low, unit), format(interval.high, unit)
    return f"{interval.value:{unit}} ({low} to {high})"


def read_card(path: Path) -> SavedCard:
    """Read the ``card.json`` of a ranking, or of the folder that holds it.

    Raises:
        AnalysisError: when there is none, or it is damaged.
    """
    file = path / "card.json" if path.is_dir() else path
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        return SavedCard(
            _card(document),
            str(document["estimator"]),
            str(document["data"]),
            str(document["table"]),
            float(document["seconds_per_network"]),
            dict(document["fingerprint"]),
        )
    except FileNotFoundError:
        raise AnalysisError(
            f"{file}: no such file; python -m nas.rank leaves a card.json in its folder"
        ) from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise AnalysisError(f"{file} is no ranking card: {error!r}") from None


def keep_card(path: Path, run: Path) -> None:
    """Put a ranking's card into a run directory, for this report and all later ones.

    Raises:
        AnalysisError: see `read_card`; when the run is none.
    """
    read_card(path)
    if not (run / "config.yaml").is_file():
        raise AnalysisError(f"{run} is no run directory: it has no config.yaml")
    file = path / "card.json" if path.is_dir() else path
    write_atomic(run / FILE, file.read_text(encoding="utf-8"))


def _card(document: dict[str, Any]) -> RankingCard:
    rankings = tuple(
        Ranking(
            str(each["name"]),
            _interval(each["tau"]),
            _interval(each["spearman"]),
            _interval(each["band"]),
            int(each["band_pairs"]),
            {int(k): _interval(share) for k, share in each["precision"].items()},
        )
        for each in document["rankings"]
    )
    if not rankings:
        raise ValueError("it has no rankings")
    seeds = document["seeds"]
    return RankingCard(
        int(document["n"]),
        rankings,
        None if seeds is None else _interval(seeds),
        int(document["seed"]),
        int(document["repeats"]),
    )


def _interval(found: dict[str, float | None]) -> Interval:
    ends = (found[name] for name in ("value", "low", "high"))
    return Interval(*(float("nan") if end is None else float(end) for end in ends))
