"""The table of trials: one row per trial, with the columns of `trials.csv`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from optuna.trial import FrozenTrial

from analysis.schema import RAW_SCORE, on_device
from nas.objective import Objective
from nas.space import Genotype, Space
from nas.space.rows import VARIABLE_PREFIX
from nas.study.beliefs import Beliefs
from nas.study.latencies import latency_attribute

LATENCY_COLUMNS = (
    "latency_ms",
    "latency_p10_ms",
    "latency_p90_ms",
    "latency_n",
    "latency_source",
    "latency_noise",
)


def estimate_columns(estimate: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of an `Estimate` given as a dict; None for values that are missing.

    The score is the raw one; `trial_table` replaces it by what is believed.
    """
    score = estimate.get("score", estimate.get("accuracy"))
    return {
        "accuracy": estimate.get("accuracy"),
        "loss": estimate.get("loss"),
        "train_seconds": estimate.get("seconds"),
        "score": score,
        RAW_SCORE: score,
    }


def latency_columns(latency: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a `Latency` given as a dict; all None if the dict is empty.

    All latencies are in milliseconds at the machine's usual speed, so that rows measured at
    different times can be compared.
    """
    if not latency:
        return dict.fromkeys(LATENCY_COLUMNS)
    speed = latency["steady_ms"] / max(latency["median_ms"], 1e-9)
    return {
        "latency_ms": latency["steady_ms"],
        "latency_p10_ms": round(latency["p10_ms"] * speed, 4),
        "latency_p90_ms": round(latency["p90_ms"] * speed, 4),
        "latency_n": latency["n"],
        "latency_source": latency["source"],
        "latency_noise": "; ".join(latency["noise"]),
    }


def columns_by_device(latencies: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the columns of one network's latencies: the first device's, then those of each.

    Args:
        latencies: Latencies given as dicts, by device, the first device of the search first; an
            empty dict where a latency is not known.

    Returns:
        The plain columns, which are the first device's, and with several devices also
        ``latency_ms@DEVICE`` and the like for every one.
    """
    known = {device: latency_columns(latency) for device, latency in latencies.items()}
    columns = dict(next(iter(known.values())))
    if len(known) > 1:
        for device, values in known.items():
            columns |= {on_device(name, device): value for name, value in values.items()}
    return columns


_FIRST = (
    "number",
    "state",
    "reason",
    "spec_hash",
    "architecture",
    "params",
    "madds",
    "activations",
    "peak_memory",
    "accuracy",
    "loss",
    "train_seconds",
    "score",
    RAW_SCORE,
)
"""The columns before those of the latencies."""


def trial_table(
    trials: Iterable[FrozenTrial],
    space: Space,
    objective: Objective,
    confirmed: Mapping[tuple[int, str], dict[str, Any]],
    devices: Sequence[str] = ("",),
    beliefs: Beliefs | None = None,
) -> pd.DataFrame:
    """Return a table of trials: state, costs, accuracy, latency, then the genotype as ``x.*``.

    Args:
        trials: Trials of the study.
        space: Search space of the study.
        objective: Objective that the column ``reward`` is computed for.
        confirmed: Latencies (as dicts) that replace those of finished trials, by the number of the
            trial and its attribute; see `nas.study.latencies`.
        devices: Devices of the search.
        beliefs: What is believed of networks by all scores, which takes the place of the scores of
            complete trials; None to leave them as they are.

    Returns:
        One row per trial; the column ``reward`` is empty if the objective is the Pareto front.
    """
    columns = [
        *_FIRST,
        *columns_by_device({device: {} for device in devices}),
        "reward",
        "seed",
    ]
    rows: list[dict[str, Any]] = []
    genotypes: list[Genotype | None] = []
    for trial in trials:
        attributes = trial.user_attrs
        row = {
            "number": trial.number,
            "state": trial.state.name.lower(),
            "reason": attributes.get("reason") or attributes.get("estimate", {}).get("remark", ""),
            "spec_hash": attributes.get("spec_hash", ""),
            "architecture": attributes.get("architecture", ""),
            **attributes.get("cost", {}),
            **estimate_columns(attributes.get("estimate", {})),
            **columns_by_device(_latencies(trial, confirmed, devices)),
            "seed": attributes.get("seed"),
        }
        genotype = space.from_params(trial.params) if trial.params else None
        if genotype is not None:
            labels = space.to_params(genotype)
            row |= {f"{VARIABLE_PREFIX}{name}": label for name, label in labels.items()}
        rows.append(row)
        genotypes.append(genotype)
    if beliefs is not None:
        _believe(rows, genotypes, beliefs)
    for row in rows:
        if row["score"] is not None and row["latency_ms"] is not None:
            row["reward"] = objective.reward(row["score"], row["latency_ms"])
    columns += [f"{VARIABLE_PREFIX}{v.name}" for v in space.variables]
    return pd.DataFrame(rows, columns=columns)


def _believe(
    rows: Sequence[dict[str, Any]], genotypes: Sequence[Genotype | None], beliefs: Beliefs
) -> None:
    """Replace the scores of complete trials by what is believed of their networks."""
    scored = [
        (genotype, row)
        for genotype, row in zip(genotypes, rows, strict=True)
        if genotype is not None and row["state"] == "complete" and row[RAW_SCORE] is not None
    ]
    believed = beliefs.of([genotype for genotype, _ in scored], [row for _, row in scored])
    for (_, row), belief in zip(scored, believed, strict=True):
        row["score"] = belief


def _latencies(
    trial: FrozenTrial, confirmed: Mapping[tuple[int, str], dict[str, Any]], devices: Sequence[str]
) -> dict[str, Mapping[str, Any]]:
    """Return the latencies of a trial by device, as they are known now; see `trial_table`."""
    names = {device: latency_attribute(device, devices) for device in devices}
    return {
        device: confirmed.get((trial.number, name), trial.user_attrs.get(name, {}))
        for device, name in names.items()
    }
