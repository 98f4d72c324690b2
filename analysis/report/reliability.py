"""How far a run's scores and latencies are to be believed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.read.runs import Run
from analysis.report.ranking import SavedCard, interval_text


def reliability(run: Run, ranking: SavedCard | None) -> list[str]:
    """Return what is known of scores and latencies, a paragraph each."""
    return [_latencies(run), _scores(run, ranking)]


def _latencies(run: Run) -> str:
    if error_rows(run):
        return (
            "Latencies in the loop were predicted, those of the front measured. On networks that "
            "the predictor had not seen, its predictions were off by so much:"
        )
    sources = run.completed.get("latency_source")
    if sources is not None and (sources == "predicted").any():
        return "Latencies in the loop were predicted; how well is not known."
    return "All latencies were measured on the device."


def _scores(run: Run, ranking: SavedCard | None) -> str:
    if ranking is None:
        return (
            "How well these scores rank networks is not known yet: python -m nas.rank examines it "
            "on networks that were fully trained, and its card is shown here once it is given with "
            "python -m analysis report RUN --ranking FOLDER."
        )
    first = ranking.card.rankings[0]
    own = run.config.get("estimator", "")
    other = f" This search was judged by another one, {own}." if own != ranking.estimator else ""
    return (
        f"Scores of {ranking.estimator} on {ranking.data} put {ranking.card.n} networks of "
        f"{ranking.table} that were fully trained in an order with Kendall's tau "
        f"{interval_text(first.tau)}; it took {ranking.seconds:.3g} s a network. 0 is chance, 1 "
        "the true order; a score must beat what costs nothing, and none can beat a second "
        f"training. Pairs of like MAdds differ by 5% at most.{other}"
    )


def error_rows(run: Run) -> list[tuple[str, str]]:
    """Return the error card of the run's latency predictor; nothing where it used none."""
    card = run.conditions.get("predictor")
    if not isinstance(card, dict):
        return []
    if not all(isinstance(card.get(name), int | float) for name in ("n", "within_5", "within_10")):
        return []
    rows = [
        ("networks it had not seen", f"{card['n']}"),
        ("within 5% of the measured latency", f"{100 * card['within_5']:.0f}%"),
        ("within 10%", f"{100 * card['within_10']:.0f}%"),
    ]
    if card.get("mean_error") is not None:
        rows.append(("mean error", f"{100 * card['mean_error']:.1f}%"))
    if card.get("spearman") is not None:
        rows.append(("Spearman's rho", f"{card['spearman']:.3f}"))
    if card.get("spearman_in_band") is not None:
        among = f"among {card['n_in_band']} networks of like MAdds"
        rows.append((among, f"{card['spearman_in_band']:.3f}"))
    return rows


def flat(conditions: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Return nested conditions as rows of text: ``versions torch``, ``2.13.0``."""
    rows: list[tuple[str, str]] = []
    for key, value in conditions.items():
        name = f"{before} {key}".strip()
        if isinstance(value, Mapping):
            rows += flat(value, name)
        elif value is not None:
            rows.append((name, str(value)))
    return rows
