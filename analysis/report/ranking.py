"""A ranking card as text, and as the file that ``nas.rank`` writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.document import read_json, read_text, reason
from analysis.errors import AnalysisError
from analysis.files import write_atomic
from analysis.statistics.ranking import (
    ONE_RUN,
    SCORE_NAMES,
    Interval,
    Ranking,
    RankingCard,
)

FILE = "ranking.json"
"""Name of the ranking card in a run directory."""


@dataclass(frozen=True)
class SavedCard:
    """A ranking card with its origin.

    Attributes:
        card: The statistics.
        estimator: Estimator, as given to ``nas.rank``.
        data: Data set, as given to ``nas.rank``.
        table: Table of trained networks, as given to ``nas.rank``.
        seconds: Mean time per network, in seconds.
        fingerprint: Fingerprint of the estimator.
    """

    card: RankingCard
    estimator: str
    data: str
    table: str
    seconds: float
    fingerprint: dict[str, Any]


def ranking_header(card: RankingCard) -> list[str]:
    """Return the column titles of a card's table."""
    tops = [f"best {k}" for k in card.rankings[0].precision]
    return ["", "Kendall tau", "Spearman rho", "tau at similar MAdds", *tops]


def ranking_rows(card: RankingCard) -> list[list[str]]:
    """Return the cells of a card's table: the score, its baselines, and one more training."""
    rows = [
        [
            SCORE_NAMES.get(ranking.name, ranking.name),
            interval_text(ranking.tau),
            interval_text(ranking.spearman),
            interval_text(ranking.band),
            *(interval_text(share, percent=True) for share in ranking.precision.values()),
        ]
        for ranking in card.rankings
    ]
    if card.seeds is not None:
        tops = len(card.rankings[0].precision)
        rows.append([ONE_RUN, interval_text(card.seeds), *[""] * (2 + tops)])
    return rows


def interval_text(interval: Interval, percent: bool = False) -> str:
    """Return a statistic and its interval as text; a dash if the statistic is NaN."""
    if interval.value != interval.value:
        return "-"
    unit = ".0%" if percent else ".2f"
    low, high = format(interval.low, unit), format(interval.high, unit)
    return f"{interval.value:{unit}} ({low} to {high})"


def read_card(path: Path) -> SavedCard:
    """Read a ranking card.

    Args:
        path: The ``card.json`` that ``nas.rank`` wrote, or the folder that holds it.

    Raises:
        AnalysisError: If there is no such file, or it is not a ranking card.
    """
    file = _card_file(path)
    try:
        document = read_json(file)
        return SavedCard(
            card=_card(document),
            estimator=str(document["estimator"]),
            data=str(document["data"]),
            table=str(document["table"]),
            seconds=float(document["seconds_per_network"]),
            fingerprint=dict(document["fingerprint"]),
        )
    except FileNotFoundError:
        raise AnalysisError(
            f"{file}: no such file; python -m nas.rank writes a card.json to its folder"
        ) from None
    except AnalysisError as error:
        raise AnalysisError(f"{file} is not a ranking card: {error}") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        what = f"it has no '{error.args[0]}'" if isinstance(error, KeyError) else reason(error)
        raise AnalysisError(f"{file} is not a ranking card: {what}") from None


def keep_card(path: Path, run: Path) -> None:
    """Copy a ranking card into a run directory, where all later reports find it.

    Args:
        path: Ranking card or its folder; see `read_card`.
        run: Run directory.

    Raises:
        AnalysisError: If the card cannot be read, or `run` is not a run directory.
    """
    read_card(path)
    if not (run / "config.yaml").is_file():
        raise AnalysisError(f"{run} is not a run directory: it has no config.yaml")
    write_atomic(run / FILE, read_text(_card_file(path)))


def _card_file(path: Path) -> Path:
    return path / "card.json" if path.is_dir() else path


def _card(document: dict[str, Any]) -> RankingCard:
    rankings = tuple(
        Ranking(
            name=str(each["name"]),
            tau=_interval(each["tau"]),
            spearman=_interval(each["spearman"]),
            band=_interval(each["band"]),
            band_pairs=int(each["band_pairs"]),
            precision={int(k): _interval(share) for k, share in each["precision"].items()},
        )
        for each in document["rankings"]
    )
    if not rankings:
        raise ValueError("it has no rankings")
    if any(set(each.precision) != set(rankings[0].precision) for each in rankings):
        raise ValueError("its scores have precisions at different k")
    seeds = document["seeds"]
    return RankingCard(
        n=int(document["n"]),
        rankings=rankings,
        seeds=None if seeds is None else _interval(seeds),
        seed=int(document["seed"]),
        repeats=int(document["repeats"]),
    )


def _interval(data: dict[str, float | None]) -> Interval:
    ends = (data[name] for name in ("value", "low", "high"))
    return Interval(*(float("nan") if end is None else float(end) for end in ends))
