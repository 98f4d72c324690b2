"""Trials as a table: one row each, the columns of `trials.csv`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
from optuna.trial import FrozenTrial

from nas.objective import Objective
from nas.space import Space
from nas.space.rows import VARIABLE_PREFIX

LATENCY_COLUMNS = (
    "latency_ms",
    "latency_p10_ms",
    "latency_p90_ms",
    "latency_n",
    "latency_source",
    "latency_noise",
)


def estimate_columns(estimate: Mapping[str, Any]) -> dict[str, Any]:
    """Return an `Estimate`'s numbers by their columns; None where there is none."""
    return {
        "accuracy": estimate.get("accuracy"),
        "loss": estimate.get("loss"),
        "train_seconds": estimate.get("seconds"),
        "score": estimate.get("score", estimate.get("accuracy")),
    }


def latency_columns(latency: Mapping[str, Any]) -> dict[str, Any]:
    """Return a `Latency`'s numbers by their columns; None where there is none.

    All at the machine's usual speed, so that rows of different hours can be compared.
    """
    if not latency:
        return dict.fromkeys(LATENCY_COLUMNS)
    usual = latency["steady_ms"] / max(latency["median_ms"], 1e-9)
    return {
        "latency_ms": latency["steady_ms"],
        "latency_p10_ms": round(latency["p10_ms"] * usual, 4),
        "latency_p90_ms": round(latency["p90_ms"] * usual, 4),
        "latency_n": latency["n"],
        "latency_source": latency["source"],
        "latency_noise": "; ".join(latency["noise"]),
    }


def trial_table(
    trials: Iterable[FrozenTrial],
    space: Space,
    objective: Objective,
    confirmed: Mapping[int, dict[str, Any]],
) -> pd.DataFrame:
    """Return one row a trial: state, costs, latency, accuracy, then the genotype as ``x.*``.

    Args:
        trials: of the study.
        space: of their networks.
        objective: whose reward is shown.
        confirmed: latencies measured after a trial's end, by its number.
    """
    columns = [
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
        *LATENCY_COLUMNS,
        "reward",
        "seed",
    ]
    rows = []
    for trial in trials:
        known = trial.user_attrs
        row = {
            "number": trial.number,
            "state": trial.state.name.lower(),
            "reason": known.get("reason", ""),
            "spec_hash": known.get("spec_hash", ""),
            "architecture": known.get("architecture", ""),
            **known.get("cost", {}),
            **estimate_columns(known.get("estimate", {})),
            **latency_columns(confirmed.get(trial.number, known.get("latency", {}))),
            "seed": known.get("seed"),
        }
        if row["score"] is not None and row["latency_ms"] is not None:
            row["reward"] = objective.reward(row["score"], row["latency_ms"])
        if trial.params:
            labels = space.to_params(space.from_params(trial.params))
            row |= {f"{VARIABLE_PREFIX}{name}": label for name, label in labels.items()}
        rows.append(row)
    columns += [f"{VARIABLE_PREFIX}{v.name}" for v in space.variables]
    return pd.DataFrame(rows, columns=columns)
