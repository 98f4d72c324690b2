"""The conditions behind a run's results: machine, versions, settings, the predictor's errors."""

from __future__ import annotations

import platform
from dataclasses import asdict
from importlib import metadata
from typing import Any

from analysis.read.runs import DEPTHWISE, SCALE
from nas.accuracy import Estimator, is_accuracy_of, label_of
from nas.latency import Device
from nas.latency.prediction.predictor import Predictor
from nas.machine import machine_name, usable_cores

PACKAGES = ("mixnas", "torch", "onnxruntime", "optuna", "ray", "numpy")


def provenance(
    estimator: Estimator,
    device: Device,
    predictor: Predictor | None,
    retraining: Estimator | None = None,
) -> dict[str, Any]:
    """Return what the scores and latencies of a run depend on, as plain data.

    Args:
        estimator: Estimator that gives the scores.
        device: Device that measures the latencies.
        predictor: Predictor of latency that the search uses, if any.
        retraining: Estimator that retrains the best networks, if any are retrained.
    """
    found = {
        "machine": machine_name(),
        "cores": usable_cores(),
        "python": platform.python_version(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
        "scores": estimator.fingerprint(),
        SCALE: {"label": label_of(estimator), "is_accuracy": is_accuracy_of(estimator)},
        "latencies": device.conditions.identity(),
    }
    if curve := device.profile.depthwise_ms:
        found[DEPTHWISE] = {f"{kernel}x{kernel}": ms for kernel, ms in curve.items()}
    if retraining is not None:
        found["retraining"] = retraining.fingerprint()
    if predictor is not None and predictor.card is not None:
        card = asdict(predictor.card)
        del card["errors"]
        found["predictor"] = card
    return found


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
