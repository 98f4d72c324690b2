"""The conditions behind a run's results: machine, versions, settings, the predictor's errors."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from analysis.read.runs import CLIFF, DEPTHWISE, DEVICES, GUESSED, SCALE
from nas.accuracy import Estimator, is_accuracy_of, label_of
from nas.accuracy.fidelity import guessed_of
from nas.imports import installed_version
from nas.latency.tuning import cliff
from nas.machine import machine_name, usable_cores
from nas.search.devices import SearchDevice

PACKAGES = ("mixnas", "torch", "onnxruntime", "optuna", "ray", "numpy")


def provenance(
    estimator: Estimator,
    devices: Sequence[SearchDevice],
    retraining: Estimator | None = None,
    recorded: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return what the scores and latencies of a run depend on, as plain data.

    Args:
        estimator: Estimator that gives the scores.
        devices: Devices of the latencies, the first one first.
        retraining: Estimator that retrains the best networks, if any are retrained.
        recorded: What the run recorded of its scores before, under ``scores`` and `SCALE`, if there
            are no new ones; None to ask the estimator.
    """
    known = recorded or {}
    found = {
        "machine": machine_name(),
        "cores": usable_cores(),
        "python": platform.python_version(),
        "versions": {name: version for name in PACKAGES if (version := installed_version(name))},
        "scores": known["scores"] if "scores" in known else estimator.fingerprint(),
        SCALE: _scale(estimator, known.get(SCALE)),
        **_latencies(devices[0]),
    }
    if further := {each.name: _latencies(each) for each in devices[1:]}:
        found[DEVICES] = further
    if retraining is not None:
        found["retraining"] = retraining.fingerprint()
    return found


def _scale(estimator: Estimator, recorded: Any = None) -> dict[str, Any]:
    """Return what scores are, and what guessing would reach if they are accuracies.

    Args:
        estimator: Gives the scores.
        recorded: What was returned before, for an estimator whose images may be gone by now.
    """
    guessed = guessed_of(estimator)
    if guessed is None and isinstance(recorded, dict) and is_accuracy_of(estimator):
        guessed = recorded.get(GUESSED)
    return {
        "label": label_of(estimator),
        "is_accuracy": is_accuracy_of(estimator),
        **({} if guessed is None else {GUESSED: guessed}),
    }


def _latencies(each: SearchDevice) -> dict[str, Any]:
    """Return what the latencies on one device depend on."""
    found: dict[str, Any] = {"latencies": each.device.conditions.identity()}
    if curve := each.device.profile.depthwise_ms:
        found[DEPTHWISE] = {f"{kernel}x{kernel}": ms for kernel, ms in curve.items()}
        if jump := cliff(curve):
            found[CLIFF] = jump
    if each.predictor is not None and each.predictor.card is not None:
        card = asdict(each.predictor.card)
        del card["errors"]
        found["predictor"] = card
    return found
