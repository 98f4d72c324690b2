"""One page for a run: what came out, what made it good, and what it came from."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from analysis.commands import population as population_command
from analysis.figures.fronts import baselines_figure, progress_figure
from analysis.figures.style import cost_figure, front_figure, history_figure, save
from analysis.files import write_atomic
from analysis.read.population import Population, network_name, population_of
from analysis.read.runs import OBJECTIVES, Run, json_text, read_run, within_limits
from analysis.report.data import packed_json, page_data, plotly
from analysis.report.ranking import FILE, SavedCard, ranking_header, ranking_rows, read_card
from analysis.report.reliability import error_rows, flat, reliability
from analysis.report.text import summary
from analysis.statistics.comparison import compare
from analysis.statistics.fronts import Front, pareto_front
from analysis.statistics.population_card import PopulationCard, card_data, cards
from analysis.statistics.published import LABEL, published_beside
from analysis.statistics.retraining import confirmed_rows
from analysis.statistics.variables import FEWEST
from analysis.units import column_unit

TABLE_COLUMNS = (
    ("name", "network"),
    ("score", "score"),
    ("latency_ms", "latency (ms)"),
    ("madds", "MAdds"),
    ("params", "params"),
    ("group", "group"),
)
NAMED = 3  # networks that ended for the same reason
CAPTIONS = {
    "front": "Scores over latency.",
    "published": "Published networks of like multiply-adds, on the right: their accuracies are "
    "those of ImageNet, as they were published, and no measure for the ones on the left.",
    "history": "Scores by trial, with the best so far.",
    "progress": "The hypervolume of the networks so far.",
    "madds_latency": "Latency over multiply-adds.",
    "random_search": "How good the best of so many networks is that are drawn at random.",
    "edf": "How good the networks are: share of them with at most an error, with the band that "
    "holds the true distribution in 95% of all cases (DKW).",
    "importance": "Which choices matter: left for being among the best tenth (PED-ANOVA), right "
    "for telling the error of networks that a forest has not seen.",
    "variables": "Errors over the choices. Red is where the best of a quarter of the networks, "
    "drawn again and again, lies in 95% of all cases.",
    "kernels": "Which kernel sizes stand in which stage, in the best networks and in all others.",
    "latency": "Latency as multiply-adds and activations tell it.",
    "best_networks": "The best networks, block by block.",
    "worst_networks": "The worst.",
}


@dataclass(frozen=True)
class Report:
    """What a page tells.

    Attributes:
        run: the search.
        front: of its completed trials, of those within its limits.
        population: its networks.
        card: their statistics; None where networks are too few, or a search is not to be held up.
        ranking: how well its estimator ranks networks; None where that was not examined.
        published: networks of like multiply-adds; None where none were asked for.
    """

    run: Run
    front: Front
    population: Population
    card: PopulationCard | None
    ranking: SavedCard | None
    published: pd.DataFrame | None


def read_report(
    path: Path, quick: bool = False, against: str | None = None, families: Sequence[str] = ()
) -> Report:
    """Read a run directory and compute what its page tells.

    Args:
        path: of the run.
        quick: leave out the statistics that take long.
        against: ``baselines`` for published networks beside.
        families: of these.

    Raises:
        AnalysisError: when the folder is no run directory, or a file in it is damaged.
    """
    run = read_run(path)
    population = population_of(run)
    too_few = population.known < FEWEST
    ranking = path / FILE
    return Report(
        run,
        pareto_front(within_limits(run.completed), OBJECTIVES),
        population,
        None if quick or too_few else cards([population])[0],
        read_card(ranking) if ranking.is_file() else None,
        published_beside([population], against, families),
    )


def as_json(report: Report, page: Path) -> str:
    """Return what a page tells as JSON, with the page's place."""
    front, beside = report.front, report.published
    data = {
        "report": str(page),
        "summary": summary(report.run, front),
        "front": front.rows.to_dict("records"),
        "hypervolume": front.hypervolume,
        "reference": front.reference,
        "networks": front.n,
        "left_out": front.dropped,
        "failed": failed_rows(report.run),
        "retrained": confirmed_rows(report.run.retrained, report.run.best),
        "population": None if report.card is None else card_data(report.card),
        "ranking": None if report.ranking is None else report.ranking.card.to_dict(),
        "conditions": report.run.conditions,
        "published": None
        if beside is None
        else {"label": LABEL, "networks": beside.to_dict("records")},
    }
    return json_text(data)


def failed_rows(run: Run) -> list[dict[str, str]]:
    """Return what ended without a result, with its reason; a row for all that share one."""
    rows = pd.concat([run.trials, run.references])
    rows = rows[rows["state"].isin(["fail", "pruned"])]
    found: dict[tuple[str, str], list[str]] = {}
    for _, row in rows.iterrows():
        reason = "" if pd.isna(row["reason"]) else str(row["reason"])
        named = row if pd.notna(row.get("name")) else row.drop("name", errors="ignore")
        found.setdefault((row["state"], reason), []).append(network_name(named))
    return [
        {"name": _several(names), "state": state, "reason": reason}
        for (state, reason), names in found.items()
    ]


def _several(names: list[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more:,} more" if more > 0 else "")


def figures_of(report: Report) -> dict[str, Figure]:
    """Return the figures of a run by file name."""
    run, front, card = report.run, report.front, report.card
    done = run.completed
    judged = run.references.dropna(subset=list(OBJECTIVES))
    measured = run.references.dropna(subset=["latency_ms"])
    drawn = {
        "front": front_figure(done, judged, front, run.label, run.bounds),
        "history": history_figure(done, run.label),
        "madds_latency": cost_figure(done, measured, run.bounds),
    }
    if len(front.rows):
        drawn["progress"] = progress_figure(compare([report.population], front.reference))
    if card is not None:
        drawn |= population_command.figures([card], papers=False)
    if report.published is not None:
        drawn["published"] = baselines_figure([report.population], report.published)
    return drawn


def population_words(card: PopulationCard | None) -> list[str]:
    """Return what made the networks good, in words."""
    if card is None:
        return []
    words = []
    if card.importance is not None and card.importance.ped_anova:
        first = sorted(card.importance.ped_anova.items(), key=lambda item: -item[1])[:3]
        names = ", ".join(f"{column_unit(name)[0]} ({100 * share:.0f}%)" for name, share in first)
        words.append(f"What tells the best tenth from the rest most: {names}.")
    if card.kernels is not None:
        words.append(card.kernels.claim)
    words.append(f"All of it is of {card.edf.n} networks; the fewer, the less it says.")
    return words


def write_report(path: Path, refresh: int = 0) -> Path:
    """Write ``report.html``, ``figures/*.svg`` and ``figures/*.png`` of a run directory.

    Args:
        path: of the run.
        refresh: seconds after which the page loads itself again, without the statistics that
            take long; never if 0.

    Returns:
        The page's path.

    Raises:
        AnalysisError: see `read_report`.
    """
    return write_page(read_report(path, quick=refresh > 0), refresh)


def write_page(report: Report, refresh: int = 0) -> Path:
    """Draw a report into its run directory; return the page's path."""
    run, front, ranking = report.run, report.front, report.ranking
    path = run.path
    (path / "figures").mkdir(exist_ok=True)
    pictures = {
        name: save(figure, path / "figures" / name)[-1].read_bytes()
        for name, figure in figures_of(report).items()
    }
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("analysis.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    page = environment.get_template("report.html").render(
        run=run,
        front=front,
        refresh=refresh,
        summary=summary(run, front),
        columns=TABLE_COLUMNS,
        population=population_words(report.card),
        failed=failed_rows(run),
        believed=reliability(run, ranking),
        errors=error_rows(run),
        ranks=None
        if ranking is None
        else [ranking_header(ranking.card), *ranking_rows(ranking.card)],
        conditions=flat(run.conditions),
        retrained=confirmed_rows(run.retrained, run.best),
        picture=_Pictures(pictures),
        plotly=plotly(),
        data=packed_json(page_data(run, front)),
    )
    write_atomic(path / "report.html", page)
    return path / "report.html"


class _Pictures:
    """Figures as elements of a page; nothing for those that were not drawn."""

    def __init__(self, pictures: Mapping[str, bytes]) -> None:
        self._pictures = pictures

    def __call__(self, name: str) -> Markup:
        if name not in self._pictures:
            return Markup()
        data = base64.b64encode(self._pictures[name]).decode("ascii")
        caption = CAPTIONS[name]
        return Markup(
            '<figure><img loading="lazy" alt="{}" src="data:image/png;base64,{}">'
            "<figcaption>{}</figcaption></figure>"
        ).format(caption, data, caption)
