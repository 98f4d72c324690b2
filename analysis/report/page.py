"""The page of a run: results, population statistics, reliability, and how to reproduce them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from analysis.errors import AnalysisError
from analysis.figures.fronts import baselines_figure, progress_figure
from analysis.figures.population import population_figures
from analysis.figures.search import cost_figure, front_figure, history_figure
from analysis.figures.style import save_all
from analysis.files import write_atomic
from analysis.printable import printable
from analysis.read.operators import read_operators
from analysis.read.population import Population, network_name, population_of
from analysis.read.runs import OBJECTIVES, Run, json_text, read_run, within_limits
from analysis.report.data import judged_rows, packed_json, page_data, plotly
from analysis.report.devices import DeviceReport, device_report
from analysis.report.networks import shown_data, shown_networks, trial_command
from analysis.report.ranking import FILE, SavedCard, ranking_header, ranking_rows, read_card
from analysis.report.reliability import error_rows, flat, reliability
from analysis.report.text import kernel_times, operator_times, population_summary, summary
from analysis.statistics.comparison import compare
from analysis.statistics.devices import LOSS_TITLES
from analysis.statistics.fronts import Front, pareto_front
from analysis.statistics.population_card import PopulationCard, card_data, cards
from analysis.statistics.published import LABEL, published_in_range
from analysis.statistics.retraining import comparison_note, confirmed_rows
from analysis.statistics.variables import FEWEST

COLUMNS = (
    ("latency_ms", "latency (ms)"),
    ("madds", "MAdds"),
    ("params", "params"),
    ("group", "group"),
)
"""Columns of the table of networks after name and score, with their titles."""
NAMED = 3
"""Number of failed networks that are named per reason."""
CAPTIONS = {
    "front": "Score against latency.",
    "published": "These networks (left) and published networks with similar multiply-adds (right). "
    "Published accuracies are those on ImageNet and cannot be compared with the ones on the left.",
    "history": "Score of each trial, and the best score so far.",
    "progress": "Hypervolume of the networks evaluated so far.",
    "madds_latency": "Latency against multiply-adds.",
    "random_search": "Expected result of the best of m networks sampled at random from those "
    "evaluated; the band contains the result of 95% of all draws.",
    "edf": "Empirical distribution of network quality: the share of networks that are at least "
    "that good, with a 95% confidence band (Dvoretzky-Kiefer-Wolfowitz).",
    "importance": "Importance of the design variables: on the left for being among the best 10% of "
    "the networks (PED-ANOVA), on the right for predicting the error of held-out networks with a "
    "random forest (permutation).",
    "variables": "Networks by design variable. The red line and band are the median and the 95% "
    "interval of the best value, found by repeatedly taking the best of a random quarter of the "
    "networks.",
    "kernels": "Kernel sizes by stage, in the best networks and in all others. Error bars are 95% "
    "intervals of the difference from the others.",
    "latency": "Latency against linear fits by multiply-adds and activations.",
    "best_networks": "The best networks, block by block. Bars are as high as a block's output "
    "channels, divided by kernel size.",
    "worst_networks": "The worst networks, drawn in the same way.",
}
"""Captions by file name of the figure."""


@dataclass(frozen=True)
class Report:
    """Contents of a page.

    Attributes:
        run: The search.
        front: Pareto front of the completed trials within the limits.
        population: Networks of the search.
        card: Their statistics; None if there are too few networks or a quick report is wanted.
        ranking: Ranking card of the estimator; None if there is none.
        published: Published networks to compare with; None if none were requested.
        several: What was found on several devices; None if there was one. All else is about the
            first device.
        operators: Kinds of operators of the best network and their milliseconds on the device.
    """

    run: Run
    front: Front
    population: Population
    card: PopulationCard | None
    ranking: SavedCard | None
    published: pd.DataFrame | None
    several: DeviceReport | None = None
    operators: Sequence[tuple[str, float]] = ()

    @property
    def config(self) -> dict[str, Any]:
        """Configuration of the search."""
        return self.run.config if self.several is None else self.several.run.config

    def summary(self) -> list[str]:
        """Return the findings as paragraphs of text."""
        further = [] if self.several is None else self.several.summary()
        return [*summary(self.run, self.front), *further]


def read_report(
    path: Path, quick: bool = False, against: str | None = None, families: Sequence[str] = ()
) -> Report:
    """Read a run directory and compute the contents of its page.

    Args:
        path: Run directory.
        quick: Whether to leave out slow statistics.
        against: ``baselines`` for published networks to compare with; None for none.
        families: Families of published networks; all if empty.

    Raises:
        AnalysisError: If the path is not a run directory, or a file in it is damaged.
    """
    whole = read_run(path)
    several = device_report(whole)
    run = whole.on(whole.devices[0])
    population = population_of(run)
    too_few = population.known < FEWEST
    ranking = path / FILE
    return Report(
        run=run,
        front=pareto_front(within_limits(run.completed), OBJECTIVES),
        population=population,
        card=None if quick or too_few else cards([population])[0],
        ranking=read_card(ranking) if ranking.is_file() else None,
        published=published_in_range([population], against, families),
        several=several,
        operators=read_operators(path, run.config["device"], run.best),
    )


def as_json(report: Report, page: Path) -> str:
    """Return the contents of a page, and its path, as JSON text."""
    front, published = report.front, report.published
    data = {
        "report": str(page),
        "summary": report.summary(),
        "front": front.rows.to_dict("records"),
        "hypervolume": front.hypervolume,
        "reference": front.reference,
        "networks": front.n,
        "left_out": front.dropped,
        "failed": failed_rows(report.run),
        "retrained": confirmed_rows(report.run.retrained, report.run.best),
        "operator_ms": dict(report.operators),
        "population": None if report.card is None else card_data(report.card),
        "ranking": None if report.ranking is None else report.ranking.card.to_dict(),
        "conditions": report.run.conditions,
        "published": None
        if published is None
        else {"label": LABEL, "networks": published.to_dict("records")},
    }
    if report.several is not None:
        data["devices"] = report.several.to_dict()
    return json_text(data)


def failed_rows(run: Run) -> list[dict[str, str]]:
    """Return the trials and references without a result, one row per state and reason."""
    names: dict[tuple[str, str], list[str]] = {}
    for table in (run.trials, run.references):
        for _, row in table[table["state"].isin(["fail", "pruned"])].iterrows():
            reason = "" if pd.isna(row["reason"]) else str(row["reason"])
            names.setdefault((row["state"], reason), []).append(network_name(row))
    return [
        {"name": _first_names(group), "state": state, "reason": reason}
        for (state, reason), group in names.items()
    ]


def _first_names(names: list[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more:,} more" if more > 0 else "")


def figures_of(report: Report) -> dict[str, Figure]:
    """Return the figures of a report by file name."""
    run, front = report.run, report.front
    completed = run.completed
    judged = run.references.dropna(subset=list(OBJECTIVES))
    measured = run.references.dropna(subset=["latency_ms"])
    figures = {
        "front": front_figure(completed, judged, front, run.label, run.by_accuracy, run.bounds),
        "history": history_figure(completed, run.label, run.by_accuracy),
        "madds_latency": cost_figure(completed, measured, run.bounds),
    }
    if len(front.rows):
        figures["progress"] = progress_figure(compare([report.population], front.reference))
    if report.card is not None:
        figures |= population_figures([report.card], paper=False)
    if report.published is not None:
        figures["published"] = baselines_figure([report.population], report.published)
    return figures


def write_report(path: Path, refresh: int = 0) -> Path:
    """Write ``report.html``, ``figures/*.svg`` and ``figures/*.png`` of a run directory.

    Args:
        path: Run directory.
        refresh: Seconds after which the page reloads itself, in which case slow statistics are
            left out; 0 for never.

    Returns:
        Path of the page.

    Raises:
        AnalysisError: See `read_report`.
    """
    return write_page(read_report(path, quick=refresh > 0), refresh)


def write_page(report: Report, refresh: int = 0) -> Path:
    """Write the page and figures of a report into its run directory.

    Args:
        report: Contents of the page.
        refresh: Seconds after which the page reloads itself; 0 for never.

    Returns:
        Path of the page.

    Raises:
        AnalysisError: If the folder of the figures is a link.
    """
    run, front, ranking = report.run, report.front, report.ranking
    figures = run.path / "figures"
    if figures.is_symlink():  # a run directory may come from anybody
        raise AnalysisError(f"{figures} leads to another folder; replace it by an ordinary folder")
    further = {} if report.several is None else report.several.figures()
    drawn = figures_of(report) | {name: figure for name, (figure, _) in further.items()}
    files = save_all(drawn, figures)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("analysis.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    latencies, scores = reliability(run, ranking)
    html = environment.get_template("report.html").render(
        run=run,
        front=front,
        refresh=refresh,
        summary=report.summary(),
        several=report.several,
        loss_titles=LOSS_TITLES,
        device_pictures=list(further),
        **_networks(report),
        name=printable(run.path.name),
        reference_score=run.score_text(front.reference.get("score", float("nan"))),
        population=population_summary(report.card, kernel_times(run)),
        failed=failed_rows(run),
        latencies=latencies,
        scores=scores,
        errors=error_rows(run),
        ranks=None
        if ranking is None
        else [ranking_header(ranking.card), *ranking_rows(ranking.card)],
        config=flat({key: value for key, value in report.config.items() if key != "command"}),
        conditions=flat(run.conditions),
        retrained=confirmed_rows(run.retrained, run.best),
        retraining_note=f"{comparison_note(run.retrained, run.best)} {run.head_start}".strip(),
        retraining_side=run.side_text("retraining"),
        picture=_Pictures(
            {file.stem: file.read_bytes() for file in files if file.suffix == ".png"},
            CAPTIONS | {name: caption for name, (_, caption) in further.items()},
        ),
        plotly=plotly(),
    )
    page = run.path / "report.html"
    write_atomic(page, html)
    return page


def _networks(report: Report) -> dict[str, Any]:
    """Return what a page says of its networks, by the names that its template uses."""
    run, rows = report.run, judged_rows(report.run, report.front)
    data, shown = page_data(run, rows), shown_networks(run, rows)
    quality = "accuracy" if run.by_accuracy else "score"
    return {
        "columns": (("name", "network"), ("score", quality), *COLUMNS),
        "quality": quality,
        "smoothed": run.smoothed,
        "shown": shown,
        "operators": report.operators,
        "operator_times": operator_times(run, report.operators),
        "short": dict(zip(data["name"], data["short"], strict=True)),
        "data": packed_json({**data, **shown_data(shown), "trial_command": trial_command(run)}),
    }


class _Pictures:
    """Function that returns a figure as an HTML element; empty if it was not drawn."""

    def __init__(self, pictures: Mapping[str, bytes], captions: Mapping[str, str]) -> None:
        self._pictures, self._captions = pictures, captions

    def __call__(self, name: str) -> Markup:
        if name not in self._pictures:
            return Markup()
        data = base64.b64encode(self._pictures[name]).decode("ascii")
        caption = self._captions[name]
        return Markup(
            '<figure><img loading="lazy" alt="{}" src="data:image/png;base64,{}">'
            "<figcaption>{}</figcaption></figure>"
        ).format(caption, data, caption)
