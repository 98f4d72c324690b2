"""Accuracy estimators. Imported when asked for: training needs torch."""

from __future__ import annotations

from nas.accuracy.base import Estimate, EstimateError, Estimator
from nas.errors import MixnasError, unknown

ESTIMATORS = ("short",)


def open_estimator(name: str, data: str) -> Estimator:
    """Return an estimator by name, for a data set.

    Raises:
        MixnasError: when there is no such estimator.
    """
    if name not in ESTIMATORS:
        raise MixnasError(unknown("estimator", name, ESTIMATORS))
    from nas.accuracy.short import ShortTraining

    return ShortTraining(data)


__all__ = ["ESTIMATORS", "Estimate", "EstimateError", "Estimator", "open_estimator"]
