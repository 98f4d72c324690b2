"""What a run found, in words that need no figure."""

from __future__ import annotations

from analysis.read.runs import OBJECTIVES, Run, within_limits
from analysis.statistics.fronts import Front
from analysis.statistics.indicators import knee
from analysis.statistics.retraining import differences

SURELY = 1.05  # ratio of latencies that is more than their noise


def summary(run: Run, front: Front) -> list[str]:
    """Return a few sentences, each a paragraph: what was searched, found, and how sure it is."""
    words = [_searched(run)]
    if len(front.rows):
        words += [_found(run, front), *_beside_references(run, front)]
    else:
        reason = "keeps the limits" if len(run.completed) else "was judged and measured"
        words.append(f"No network {reason}, so there is nothing to choose from.")
    failed = run.trials["state"].isin(["fail", "pruned"]).sum()
    if failed:
        words.append(f"{failed} of {len(run.trials)} candidates ended without a result; see below.")
    return words


def _searched(run: Run) -> str:
    config = run.config
    within = ", ".join(f"{metric} {text}" for metric, text in run.limits.items())
    judged, kept = len(run.completed), len(within_limits(run.completed))
    inside = f" within the limits {within}" if within and kept == judged else ""
    beyond = f" {kept} of them kept the limits {within}." if within and kept < judged else ""
    sources = run.completed.get("latency_source")
    only = sources is not None and judged > 0 and (sources == "predicted").all()
    timed = "their latencies predicted for" if only else "measured on"
    return (
        f"{judged} {'network' if judged == 1 else 'networks'} of the space {config['space']}"
        f"{inside} {'was' if judged == 1 else 'were'} judged on {config['data']} and {timed} "
        f"{config['device']}.{beyond}"
    )


def _found(run: Run, front: Front) -> str:
    fastest, best = front.rows.iloc[0], front.rows.iloc[-1]
    if (front.rows[list(OBJECTIVES)].nunique() == 1).all() and len(front.rows) > 1:
        return (
            f"{len(front.rows)} of them are the best and the fastest alike "
            f"({run.score_text(best['score'])} in {best['latency_ms']:.2f} ms)."
        )
    if len(front.rows) == 1:
        return (
            f"One of them, trial_{best['number']}, is at once the best "
            f"({run.score_text(best['score'])}) and the fastest ({best['latency_ms']:.2f} ms)."
        )
    return (
        f"{len(front.rows)} of them are worth a choice: no other network is both better and "
        f"faster. They reach from trial_{fastest['number']} ({run.score_text(fastest['score'])} in "
        f"{fastest['latency_ms']:.2f} ms) to trial_{best['number']} "
        f"({run.score_text(best['score'])} in {best['latency_ms']:.2f} ms).{_turn(run, front)}"
    )


def _turn(run: Run, front: Front) -> str:
    """Say where the front turns: from there on, more of one objective costs most of the other."""
    at = knee(front.rows, OBJECTIVES)
    if at is None:
        return ""
    row = front.rows.iloc[at]
    return (
        f" The front turns at trial_{row['number']} ({run.score_text(row['score'])} in "
        f"{row['latency_ms']:.2f} ms): beyond it, more score costs most time."
    )


def _beside_references(run: Run, front: Front) -> list[str]:
    words = []
    judged = run.references.dropna(subset=["score", "latency_ms"])
    for _, row in judged.iterrows():
        fit = front.rows[front.rows["score"] >= row["score"]]
        if len(fit):
            quickest = fit.sort_values("latency_ms").iloc[0]
            ratio = float(row["latency_ms"] / quickest["latency_ms"])
            if ratio >= SURELY:
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
    seeds = int(run.retrained.groupby(["name", "kind"])["seed"].nunique().max())
    times = "with one seed" if seeds == 1 else f"with {seeds} seeds"
    return [
        f"{run.best or 'The best'} and the references were trained again, {times}, and "
        f"tested on images that no choice had seen. The best against {told}."
    ]
