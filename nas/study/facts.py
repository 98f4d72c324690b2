"""What a study rests on: whether it is still what it was, and whether its trials can be read."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from nas.document import plain_document
from nas.errors import MixnasError
from nas.units import number_of

SPACE = "space"
"""Attribute of a study: the document of its space."""
FACTS = "facts of {}"
"""Attribute of a study: what its ``accuracies`` or its ``latencies`` rest on."""
_MOST_CHANGES = 3  # named in a message
_LONGEST = 60  # characters of a value in a message
_LATENCY_NUMBERS = ("steady_ms", "median_ms", "p10_ms", "p90_ms", "n")


def changes(before: Any, after: Any, where: str = "") -> list[str]:
    """Return how two documents differ, such as ``stem.channels was 8, and is 16 now``."""
    if before == after:
        return []
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            change
            for key in {**before, **after}
            for change in changes(before.get(key), after.get(key), f"{where}.{key}".strip("."))
        ]
    return [f"{where} was {_short(before)}, and is {_short(after)} now"]


def _short(value: Any) -> str:
    if value is None:
        return "not there"
    text = json.dumps(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def space_changes(recorded: Mapping[str, Any], document: Any) -> str:
    """Return in words how a space differs from the one that a study was begun with.

    Args:
        recorded: Attributes of the study.
        document: Document of the space.

    Returns:
        The changes; empty if there are none, or the study does not know its space.
    """
    if SPACE not in recorded:  # begun by an earlier version
        return ""
    return in_words(changes(recorded[SPACE], plain_document(document)))


def in_words(found: Collection[str]) -> str:
    """Return the first of some changes, and the number of the others."""
    named = list(found)[:_MOST_CHANGES]
    others = len(found) - len(named)
    return "; ".join([*named, *([f"{others} more"] if others else [])])


_WORDS = {
    "data_fingerprint": "the images or their split (data_fingerprint)",
    "batch_norms": "how networks share batch normalization (batch_norms)",
    "others": "the estimates beside shared weights (others)",
    "compared": "how many networks tell the scales of estimates (compared)",
    "ensemble": "the scales of estimates (ensemble)",
}


def compare_facts(what: str, recorded: Any, facts: Mapping[str, Any]) -> None:
    """Compare what results rest on with what earlier ones rested on.

    Args:
        what: ``accuracies`` or ``latencies``.
        recorded: The facts that the study records.
        facts: The facts now; JSON-serializable.

    Raises:
        MixnasError: If they have changed, so that old and new results are not comparable.
    """
    recorded = recorded if isinstance(recorded, dict) else {}
    now = plain_document(facts)
    changed = [key for key in {**recorded, **now} if now.get(key) != recorded.get(key)]
    if changed:
        names = ", ".join(_WORDS.get(key, key) for key in changed)
        raise MixnasError(
            f"the {what} of this run cannot be compared with new ones: {names} changed; start a "
            "new run"
        )


def check_trials(
    trials: Iterable[FrozenTrial], distributions: Mapping[str, BaseDistribution], values: int
) -> None:
    """Check that the trials of a study are those of a space, and hold what is read later.

    Args:
        trials: The trials.
        distributions: Distribution of every variable of the space.
        values: Number of values of a complete trial.

    Raises:
        MixnasError: If a trial does not fit the space, or is damaged.
    """
    for trial in trials:
        _check_parameters(trial, distributions)
        problem = _problem(trial, values)
        if problem:
            raise MixnasError(
                f"trial {trial.number} of the study is damaged: {problem}; restore the study from "
                "a copy, or start a new run"
            )


def _check_parameters(trial: FrozenTrial, distributions: Mapping[str, BaseDistribution]) -> None:
    for name, value in trial.params.items():
        known = distributions.get(name)
        if known is None or value not in getattr(known, "choices", (value,)):
            what = "no such variable" if known is None else "no such value"
            raise MixnasError(
                f"the space has changed since the run began: in trial {trial.number} '{name}' was "
                f"{_short(value)}, but there is {what} now; restore the run's space.yaml, or "
                "start a new run"
            )


def _problem(trial: FrozenTrial, values: int) -> str:
    """Return what is wrong with a trial; empty if nothing is."""
    known = trial.user_attrs
    latencies = {
        name: latency for name, latency in known.items() if name.partition("@")[0] == "latency"
    }
    estimate = known.get("estimate") or {}
    for name in (*latencies, "estimate", "cost"):
        if not isinstance(known.get(name, {}), dict):
            return f"'{name}' is not a mapping"
    if not all(_is_number(cost) for cost in known.get("cost", {}).values()):
        return "'cost' holds something else than numbers"
    if not all(map(is_latency, latencies.values())):
        return "its latency lacks a number or its source"
    scores = [number for n in ("score", "accuracy") if (number := estimate.get(n)) is not None]
    others = [number for n in ("loss", "seconds") if (number := estimate.get(n)) is not None]
    if not all(map(_is_number, scores)) or not all(isinstance(n, int | float) for n in others):
        return "its estimate holds something else than numbers"
    if trial.state == TrialState.COMPLETE:
        if "latency" not in latencies or not scores:
            return "it is complete, but has no score or no latency"
        if len(trial.values or ()) != values or not all(map(_is_number, trial.values)):
            return f"it is complete, but does not have {number_of(values, 'value')}"
    return ""


def is_latency(data: Any) -> bool:
    """Tell whether recorded data holds what the tables show of a latency."""
    return (
        isinstance(data, dict)
        and all(_is_number(data.get(name)) for name in _LATENCY_NUMBERS)
        and isinstance(data.get("source"), str)
        and isinstance(data.get("noise"), list)
        and all(isinstance(remark, str) for remark in data["noise"])
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
