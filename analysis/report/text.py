"""The findings of a run in sentences that need no figure."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from analysis.read.runs import CLIFF, DEPTHWISE, OBJECTIVES, Run, within_limits
from analysis.schema import BUILT_IN_DATA, RAW_SCORE
from analysis.statistics.fronts import Front
from analysis.statistics.indicators import knee
from analysis.statistics.population_card import PopulationCard
from analysis.statistics.retraining import AccuracyDifference, differences
from analysis.units import column_unit, number_of, trial_name

SIGNIFICANT_SPEEDUP = 1.05
"""Ratio of two latencies above which their difference is more than noise."""
CHANCE = 2.0
"""Standard errors by which accuracies must exceed guesses to be more than chance."""
MOST_IMPORTANT = 3
"""Number of design variables that are named."""


def summary(run: Run, front: Front) -> list[str]:
    """Summarize what was searched, what was found, and how certain it is.

    Args:
        run: The search.
        front: Pareto front of the trials within its limits.

    Returns:
        Paragraphs of text.
    """
    paragraphs = [" ".join(filter(None, [_scope(run), data_remark(run)]))]
    if len(front.rows):
        paragraphs += [front_sentence(run, front), *_smoothing(run, front)]
        paragraphs += [*_speedups(run, front), *_retrained(run)]
    elif len(run.completed):
        paragraphs.append("No network satisfies the limits, so there is no Pareto front.")
    else:
        paragraphs.append("No trial has completed, so there is no Pareto front.")
    failed = run.trials["state"].isin(["fail", "pruned"]).sum()
    if failed:
        paragraphs.append(
            f"{failed} of {number_of(len(run.trials), 'trial')} ended without a result; see below."
        )
    return paragraphs


def data_remark(run: Run) -> str:
    """Return a remark on a data set that is too easy or too hard to tell networks apart.

    Returns:
        The remark; empty for data sets that are neither.
    """
    if words := _chance(run):
        return words
    data = run.config["data"]
    if data not in BUILT_IN_DATA:
        return ""
    return (
        f"Most networks are equally good on {data}, which is easy. Next, search on images of your "
        "own: --data FOLDER, with one subfolder for each class."
    )


def _chance(run: Run) -> str:
    """Say that accuracies are no better than chance, and what may help; empty if they are better.

    Neither is their mean higher than chance allows for one network, nor is the highest of them
    higher than it allows for so many.
    """
    scores = _accuracies(run)
    if run.guessed is None or scores.empty:
        return ""
    right, images = run.guessed
    guess = right / images
    error = math.sqrt(guess * (1 - guess) / images)
    mean, highest = float(scores.mean()), float(scores.max())
    # The expected maximum of n normal variables is below sqrt(2 ln n) standard deviations.
    most = CHANCE + math.sqrt(2 * math.log(len(scores)))
    if not (mean <= guess + CHANCE * error and highest <= guess + most * error):
        return ""
    ways = ["with more training images"]
    if "--thorough" not in str(run.config["command"]).split():
        ways.append("with --thorough")
    if "weights=" not in str(run.config.get("estimator")):
        ways.append("from pretrained weights (--estimator supernet:weights=FILE)")
    *most_ways, last = ways
    listed = f"{', '.join(most_ways)} or {last}" if most_ways else last
    return (
        f"Accuracies are no better than chance: {100 * mean:.1f}% on average, where always naming "
        f"the most frequent class would be right for {100 * guess:.1f}% of the {images:,} "
        "validation images. They say little about the networks. A new search may do better "
        f"{listed}."
    )


def _accuracies(run: Run) -> pd.Series:
    """Return the accuracies of networks; the scores if there are no others, as is their claim."""
    accuracies = run.completed["accuracy"].dropna()
    return run.completed[RAW_SCORE] if accuracies.empty else accuracies


def _scope(run: Run) -> str:
    """Say what was evaluated, on what, and how many networks satisfy the limits."""
    count, config = len(run.completed), run.config
    sources = run.completed.get("latency_source")
    predicted = sources is not None and count > 0 and (sources == "predicted").all()
    networks, were, latencies = (
        ("network", "was", "its latency was")
        if count == 1
        else ("networks", "were", "their latencies were")
    )
    return (
        f"{count} {networks} of the space {config['space']} {were} evaluated on {config['data']}, "
        f"and {latencies} {'predicted for' if predicted else 'measured on'} {config['device']}."
        f"{_limits(run)}"
    )


def _limits(run: Run) -> str:
    """Say how many of the evaluated networks satisfy the limits; nothing without limits."""
    if not run.limits:
        return ""
    limits = ", ".join(f"{metric} {text}" for metric, text in run.limits.items())
    count, within = len(run.completed), len(within_limits(run.completed))
    if not count:
        return f" The limits are {limits}."
    if count == 1:
        return f" It {'satisfies' if within else 'does not satisfy'} the limits ({limits})."
    if within in (0, count):
        quantity = "All of them satisfy" if within else "None of them satisfies"
    else:
        quantity = f"{within} of them {'satisfies' if within == 1 else 'satisfy'}"
    return f" {quantity} the limits ({limits})."


def front_sentence(run: Run, front: Front) -> str:
    """Say which networks are on a front that is not empty, and from where to where it reaches."""
    fastest, best = (_point(run, front, position) for position in (0, -1))
    best_name, fastest_name = (trial_name(front.rows.iloc[i]["number"]) for i in (-1, 0))
    if len(front.rows) == 1:
        return (
            f"One network, {best_name}, has both the highest score and the lowest latency ({best})."
        )
    if (front.rows[list(OBJECTIVES)].nunique() == 1).all():
        return (
            f"{len(front.rows)} networks tie for both the highest score and the lowest latency "
            f"({best})."
        )
    return (
        f"{len(front.rows)} networks are Pareto-optimal: no other network scores higher without "
        "being slower, or is faster without scoring lower. They range from "
        f"{fastest_name} ({fastest}) to {best_name} ({best}).{_knee(run, front)}"
    )


def _point(run: Run, front: Front, position: int) -> str:
    """Return the score and latency of a row of the front as text, with the caveat if any."""
    row = front.rows.iloc[position]
    caveat = "" if _is_sure(row) else f", {_caveat(row)}"
    return f"{run.score_text(row['score'])} at {row['latency_ms']:.2f} ms{caveat}"


def _is_sure(row: pd.Series) -> bool:
    """Return whether a latency was measured, on a quiet machine."""
    return not _caveat(row)


def _caveat(row: pd.Series) -> str:
    """Return what keeps a claim from resting on a latency; empty if nothing does."""
    if row.get("latency_source") == "predicted":
        return "predicted"
    noise = row.get("latency_noise")
    return "measured on a noisy machine" if isinstance(noise, str) and noise else ""


def _knee(run: Run, front: Front) -> str:
    """Name the knee of the front, if there is one."""
    position = knee(front.rows, OBJECTIVES)
    if position is None:
        return ""
    gain = "accuracy" if run.by_accuracy else "score"
    return (
        f" The knee of the front is {trial_name(front.rows.iloc[position]['number'])} "
        f"({_point(run, front, position)}): beyond it, further gains in {gain} cost "
        "disproportionately more latency."
    )


def _smoothing(run: Run, front: Front) -> list[str]:
    """Say what scores are if they are not as estimated, and how they differ on the front."""
    if not run.smoothed:
        return []
    lead = float((front.rows[RAW_SCORE] - front.rows["score"]).mean())
    size = f"{100 * abs(lead):.1f} percentage points" if run.by_accuracy else f"{abs(lead):.3g}"
    how = f"{size} {'better' if lead > 0 else 'worse'}"
    if size.startswith("0.0 ") or not lead:
        how = "as good as that"
    return [
        f"A score here is what the estimates of all {len(run.completed)} networks suggest of one "
        "of them, since the highest of many noisy estimates are partly luck. On average, the "
        f"networks of the front were estimated to be {how}."
    ]


def _speedups(run: Run, front: Front) -> list[str]:
    """Name, for each reference, the fastest network that scores as high, if it is faster.

    No claim rests on a latency that was predicted or disturbed.
    """
    sentences = []
    sure = front.rows[[_is_sure(row) for _, row in front.rows.iterrows()]]
    for _, reference in run.references.dropna(subset=["score", "latency_ms"]).iterrows():
        as_good = sure[sure["score"] >= reference["score"]]
        if as_good.empty:
            continue
        if not _is_sure(reference):
            sentences.append(
                f"No network is called faster than {reference['name']}, whose latency was "
                f"{_caveat(reference)}."
            )
            continue
        fastest = as_good.sort_values("latency_ms").iloc[0]
        ratio = float(reference["latency_ms"] / fastest["latency_ms"])
        if ratio >= SIGNIFICANT_SPEEDUP:
            sentences.append(
                f"{trial_name(fastest['number'])} scores at least as high as {reference['name']} "
                f"and is {ratio:.1f} times as fast."
            )
    return sentences


def _retrained(run: Run) -> list[str]:
    """Compare the retrained best network with the retrained references."""
    comparisons = differences(run.retrained, run.best)
    if not comparisons:
        return []
    verdicts = "; ".join(f"{each.name}: {_verdict(each)}" for each in comparisons)
    seeds = int(run.retrained.groupby(["name", "kind"])["seed"].nunique().max())
    count = "one seed" if seeds == 1 else f"{seeds} seeds"
    sentences = [
        f"{run.best} and the reference networks were retrained with {count}"
        f"{run.side_text('retraining')} and evaluated on the test split, which played no part in "
        f"any decision. {run.best} compared with each reference: {verdicts}.",
        run.head_start,
    ]
    return [" ".join(filter(None, sentences))]


def _verdict(difference: AccuracyDifference) -> str:
    """Return the verdict on a difference, with the smallest lead that could have been seen."""
    if difference.low <= 0 <= difference.high and math.isfinite(difference.smallest_lead):
        lead = f"{100 * difference.smallest_lead:.1f} percentage points"
        return f"{difference.verdict} (no lead of less than {lead} could have been seen)"
    return difference.verdict


def kernel_times(run: Run) -> list[str]:
    """Summarize what kernel sizes cost on the device; nothing if that was not measured."""
    measured = run.conditions.get(DEPTHWISE)
    if not isinstance(measured, dict):
        return []
    times = {
        str(kernel): float(ms)
        for kernel, ms in measured.items()
        if isinstance(ms, int | float) and 0 < ms < math.inf
    }
    if len(times) < 2:
        return []
    listed = ", ".join(f"{ms:.3f} ms with {kernel}" for kernel, ms in times.items())
    (first, first_ms), *_, (last, last_ms) = times.items()
    return [
        f"On {run.config['device']}, a depthwise convolution as it is trained (240 channels at "
        f"14x14) takes {listed} kernels: {last_ms / first_ms:.1f} times as long with {last} as "
        f"with {first}. {_cliff(run)}The kernels that won have to be read beside these times."
    ]


def _cliff(run: Run) -> str:
    """Say from which kernel size on a tap takes far longer, if the search found one."""
    kernel = run.conditions.get(CLIFF)
    if not isinstance(kernel, int):
        return ""
    return (
        f"From {kernel}x{kernel} on, a tap takes far longer than in smaller kernels; lowering "
        "writes such kernels as sums of smaller ones where that is faster. "
    )


def operator_times(run: Run, operators: Sequence[tuple[str, float]]) -> str:
    """Say what the best network's time consists of; empty if it was not profiled.

    Args:
        run: The search.
        operators: Kinds of its operators and their milliseconds, the longest first.
    """
    if not operators:
        return ""
    total = sum(ms for _, ms in operators)
    first, first_ms = operators[0]
    return (
        f"What the time of {run.best}, the best network, consists of on {run.config['device']}, by "
        f"the runtime's own profiler. The largest share, {first_ms / total:.0%}, goes to {first}. "
        "Profiling slows a network down a little, so the sum is not exactly its latency: "
        f"{total:.2f} ms."
    )


def population_summary(card: PopulationCard | None, times: Sequence[str] = ()) -> list[str]:
    """Summarize what distinguishes the best networks; nothing without statistics.

    Args:
        card: The statistics of the population.
        times: What kernel sizes cost on the device, as `kernel_times` returns it.
    """
    if card is None:
        return []
    paragraphs = []
    if card.importance is not None and card.importance.ped_anova:
        ranked = sorted(card.importance.ped_anova.items(), key=lambda item: -item[1])
        names = ", ".join(
            f"{column_unit(name)[0]} ({100 * share:.0f}%)"
            for name, share in ranked[:MOST_IMPORTANT]
        )
        paragraphs.append(
            "Most important design variables for being among the best 10% of the networks "
            f"(PED-ANOVA): {names}."
        )
    if card.kernels is not None:
        paragraphs.append(card.kernels.claim)
    paragraphs += times
    paragraphs.append(
        f"These statistics are based on {number_of(card.edf.n, 'network')}; the fewer there "
        "are, the less "
        "certain the conclusions."
    )
    return paragraphs
