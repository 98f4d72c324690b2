"""One page for a run: what came out, what made it good, and what it came from."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from analysis import population_command
from analysis.comparison import compare
from analysis.confirmation import confirmed_rows
from analysis.figures import cost_figure, front_figure, history_figure, save
from analysis.files import write_whole
from analysis.front_figures import progress_figure
from analysis.fronts import Front, pareto_front
from analysis.population_card import Card, cards
from analysis.population_figures import column_unit
from analysis.report_data import packed_json, page_data, plotly
from analysis.report_words import belief, flat, summary
from analysis.runs import OBJECTIVES, Run, read_run, within_limits
from analysis.tables import Population, network_name, population_of
from analysis.variables import FEWEST

COLUMNS = (
    ("name", "network"),
    ("score", "score"),
    ("latency_ms", "latency (ms)"),
    ("madds", "MAdds"),
    ("params", "params"),
    ("group", "group"),
)
CAPTIONS = {
    "front": "Scores over latency.",
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
    "kernels": "Which kernel sizes stand in which stage, in the best tenth and in all others.",
    "latency": "Latency as multiply-adds and activations tell it.",
    "best_networks": "The best networks, block by block.",
    "worst_networks": "The worst.",
}


def run_front(run: Run) -> Front:
    """Return the front of a run's completed trials, of those within its limits."""
    return pareto_front(within_limits(run.completed), OBJECTIVES)


def failed_rows(run: Run) -> list[dict[str, str]]:
    """Return what ended without a result, with its reason."""
    rows = pd.concat([run.trials, run.references])
    rows = rows[rows["state"].isin(["fail", "pruned"])]
    return [
        {
            "name": network_name(
                row if pd.notna(row.get("name")) else row.drop("name", errors="ignore")
            ),
            "state": row["state"],
            "reason": "" if pd.isna(row["reason"]) else str(row["reason"]),
        }
        for _, row in rows.iterrows()
    ]


def figures_of(
    run: Run, front: Front, population: Population, card: Card | None
) -> dict[str, Figure]:
    """Return the figures of a run by file name."""
    done = run.completed
    judged = run.references.dropna(subset=list(OBJECTIVES))
    measured = run.references.dropna(subset=["latency_ms"])
    drawn = {
        "front": front_figure(done, judged, front, run.label),
        "history": history_figure(done, run.label),
        "madds_latency": cost_figure(done, measured),
    }
    if len(front.rows):
        drawn["progress"] = progress_figure(compare([population], front.reference))
    if card is not None:
        drawn |= population_command.figures([card], published=False)
    return drawn


def population_words(card: Card | None) -> list[str]:
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
        AnalysisError: when the folder is no run directory.
    """
    run = read_run(path)
    front = run_front(run)
    population = population_of(run)
    too_few = population.known < FEWEST
    card = None if refresh or too_few else cards([population])[0]
    drawn = figures_of(run, front, population, card)
    (path / "figures").mkdir(exist_ok=True)
    pictures = {
        name: save(figure, path / "figures" / name)[-1].read_bytes()
        for name, figure in drawn.items()
    }
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("analysis"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    page = environment.get_template("report.html").render(
        run=run,
        front=front,
        refresh=refresh,
        summary=summary(run, front),
        columns=COLUMNS,
        population=population_words(card),
        failed=failed_rows(run),
        believed=belief(run),
        conditions=flat(run.conditions),
        retrained=confirmed_rows(run.retrained, run.best),
        picture=_Pictures(pictures),
        plotly=plotly(),
        data=packed_json(page_data(run, front)),
    )
    write_whole(path / "report.html", page)
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
