"""How reliable a run's scores and latencies are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.read.runs import Run
from analysis.report.ranking import SavedCard, interval_text


def reliability(run: Run, ranking: SavedCard | None) -> list[str]:
    """Return what is known about the latencies and about the scores, one paragraph each."""
    return [_latencies(run), _scores(run, ranking)]


def _latencies(run: Run) -> str:
    if error_rows(run):
        return (
            "Latencies were predicted during the search and measured for the networks on the "
            "front. The table shows the predictor's errors on networks that it was not fitted to."
        )
    sources = run.completed.get("latency_source")
    if sources is not None and (sources == "predicted").any():
        return "Latencies were predicted during the search; the predictor's error is not known."
    return "All latencies were measured on the device."


def _scores(run: Run, ranking: SavedCard | None) -> str:
    if ranking is None:
        return (
            "It is not known how well these scores rank networks. python -m nas.rank tests the "
            "estimator on fully trained networks; python -m analysis report RUN --ranking FOLDER "
            "adds the resulting ranking card to this page."
        )
    tau = interval_text(ranking.card.rankings[0].tau)
    used = run.config.get("estimator", "")
    other = (
        f" Note that this search used a different estimator, {used}."
        if used != ranking.estimator
        else ""
    )
    return (
        f"The estimator {ranking.estimator} on {ranking.data} ranks {ranking.card.n} fully trained "
        f"networks of {ranking.table} with a Kendall tau of {tau}, at {ranking.seconds:.3g} s per "
        "network. A tau of 0 is chance, 1 the true order. A useful score ranks better than "
        "parameters, MAdds and depth, which cost nothing to compute. One more training run is a "
        "single full training, compared with the mean of the others: it shows how much of the "
        "order is noise of training, but it is no upper bound. MAdds count as similar if they "
        f"differ by less than 5%.{other}"
    )


def error_rows(run: Run) -> list[tuple[str, str]]:
    """Return the error card of the run's latency predictor; empty if it used none."""
    card = run.conditions.get("predictor")
    if not isinstance(card, dict):
        return []
    needed = ("n", "within_5", "within_10")
    if not all(_is_number(card.get(name)) for name in needed):
        return []
    rows = [
        ("networks tested", f"{card['n']}"),
        ("within 5% of the measured latency", f"{100 * card['within_5']:.0f}%"),
        ("within 10% of the measured latency", f"{100 * card['within_10']:.0f}%"),
    ]
    if _is_number(card.get("mean_error")):
        rows.append(("mean error", f"{100 * card['mean_error']:.1f}%"))
    if _is_number(card.get("spearman")):
        rows.append(("Spearman's rho", f"{card['spearman']:.3f}"))
    if _is_number(card.get("spearman_in_band")):
        name = f"Spearman's rho among {card.get('n_in_band', 'the')} networks with similar MAdds"
        rows.append((name, f"{card['spearman_in_band']:.3f}"))
    return rows


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def flat(conditions: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested conditions as rows of text, as ``("versions torch", "2.13.0")``.

    Values of None are left out.
    """
    rows: list[tuple[str, str]] = []
    for key, value in conditions.items():
        name = f"{prefix} {key}".strip()
        if isinstance(value, Mapping):
            rows += flat(value, name)
        elif value is not None:
            rows.append((name, str(value)))
    return rows
