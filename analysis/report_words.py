"""What a run found, in words that need no figure."""

from __future__ import annotations

from analysis.confirmation import differences
from analysis.fronts import Front
from analysis.runs import Run


def summary(run: Run, front: Front) -> list[str]:
    """Return a few sentences, each a paragraph: what was searched, found, and how sure it is."""
    words = [_searched(run)]
    if len(front.rows):
        words += [_found(run, front), *_beside_references(run, front)]
    else:
        words.append("No network was judged and measured, so there is nothing to choose from.")
    failed = run.trials["state"].isin(["fail", "pruned"]).sum()
    if failed:
        words.append(f"{failed} of {len(run.trials)} candidates ended without a result; see below.")
    return words


def _searched(run: Run) -> str:
    config = run.config
    within = ", ".join(f"{metric} {text}" for metric, text in run.limits.items())
    inside = f" within the limits {within}" if within else ""
    return (
        f"{len(run.completed)} networks of the space {config['space']}{inside} were judged on "
        f"{config['data']} and measured on {config['device']}."
    )


def _found(run: Run, front: Front) -> str:
    fastest, best = front.rows.iloc[0], front.rows.iloc[-1]
    if len(front.rows) == 1:
        return (
            f"One of them, trial_{best['number']}, is at once the best "
            f"({run.score_text(best['score'])}) and the fastest ({best['latency_ms']:.2f} ms)."
        )
    return (
        f"{len(front.rows)} of them are worth a choice: no other network is both better and "
        f"faster. They reach from trial_{fastest['number']} ({run.score_text(fastest['score'])} in "
        f"{fastest['latency_ms']:.2f} ms) to trial_{best['number']} "
        f"({run.score_text(best['score'])} in {best['latency_ms']:.2f} ms)."
    )


def _beside_references(run: Run, front: Front) -> list[str]:
    words = []
    judged = run.references.dropna(subset=["score", "latency_ms"])
    for _, row in judged.iterrows():
        fit = front.rows[front.rows["score"] >= row["score"]]
        if len(fit):
            quickest = fit.sort_values("latency_ms").iloc[0]
            ratio = float(row["latency_ms"] / quickest["latency_ms"])
            if ratio > 1:
                words.append(
                    f"trial_{quickest['number']} scores no less than {row['name']} and is "
                    f"{ratio:.1f} times as fast."
                )
    return [*words, *_retrained(run)]


def _retrained(run: Run) -> list[str]:
    found = differences(run.retrained, run.best)
    if not found:
        return []
    told = "; ".join(f"{d.name}: {d.verdict}" for d in found)
    return [
        f"{run.best or 'The best'} and the references were trained again, with several seeds, and "
        f"tested on images that no choice had seen. The best against {told}."
    ]
