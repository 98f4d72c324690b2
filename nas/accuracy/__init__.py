"""Accuracy estimators. Imported when asked for: training needs torch."""

from __future__ import annotations

from nas.accuracy.base import Estimate, EstimateError, Estimator, PreparedEstimator
from nas.errors import MixnasError, unknown
from nas.imports import looks_like_import, named_object

ESTIMATORS = ("short",)


def open_estimator(name: str, data: str) -> Estimator:
    """Return an estimator for a data set, by name or by the import path of what makes one.

    Raises:
        MixnasError: when there is no such estimator.
    """
    if looks_like_import(name):
        made: Estimator = named_object(name, "estimator")(data)
        return made
    if name not in ESTIMATORS:
        raise MixnasError(unknown("estimator", name, ESTIMATORS))
    from nas.accuracy.short import ShortTraining

    return ShortTraining(data)


__all__ = [
    "ESTIMATORS",
    "Estimate",
    "EstimateError",
    "Estimator",
    "PreparedEstimator",
    "open_estimator",
]
