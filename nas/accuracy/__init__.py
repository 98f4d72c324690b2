"""Accuracy estimators. Their dependencies, such as torch, are imported when one is opened."""

from __future__ import annotations

from nas.accuracy.base import (
    Estimate,
    EstimateError,
    Estimator,
    PreparedEstimator,
    StagedEstimator,
    is_accuracy_of,
    label_of,
    max_score_of,
    side_of,
)
from nas.accuracy.naming import ESTIMATORS, open_estimator

__all__ = [
    "ESTIMATORS",
    "Estimate",
    "EstimateError",
    "Estimator",
    "PreparedEstimator",
    "StagedEstimator",
    "is_accuracy_of",
    "label_of",
    "max_score_of",
    "open_estimator",
    "side_of",
]
