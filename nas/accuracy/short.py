"""Short training: a few epochs at a small resolution, then validation accuracy."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from nas.accuracy.base import Estimate, EstimateError
from nas.data import ImageData, load_data
from nas.progress import Step
from nas.spec import NetworkSpec
from nas.torch_model import build
from nas.training import Recipe, TrainingError, train


@lru_cache(maxsize=2)
def _data(name: str, resolution: int) -> ImageData:
    """Load a data set once a process."""
    return load_data(name).at(resolution)


@dataclass(frozen=True)
class ShortTraining:
    """Trains every network for a short while.

    Attributes:
        data: name of the data set.
        resolution: side of the training images in pixels; the network is built for any.
        recipe: how to train.
    """

    data: str = "digits"
    resolution: int = 36
    recipe: Recipe = dataclasses.field(default_factory=Recipe)

    def fingerprint(self) -> dict[str, Any]:
        """See `Estimator.fingerprint`."""
        return {
            "estimator": "short",
            "data": self.data,
            "data_fingerprint": load_data(self.data).fingerprint(),
            "resolution": self.resolution,
            **dataclasses.asdict(self.recipe),
        }

    def prepare(self, step: Step | None = None) -> list[str]:
        """See `PreparedEstimator`: images are decoded."""
        data = load_data(self.data).at(self.resolution, step)
        return [data.remark()] if data.broken else []

    def estimate(self, spec: NetworkSpec, seed: int) -> Estimate:
        """See `Estimator.estimate`."""
        data = _data(self.data, self.resolution)
        try:
            result = train(build(spec, seed), data, self.recipe, seed)
        except TrainingError as error:
            raise EstimateError(str(error)) from None
        return Estimate(result.accuracy, result.loss, round(result.seconds, 3), seed)
