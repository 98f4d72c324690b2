"""The contract of accuracy estimators, as pytest tests to subclass."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle
from abc import abstractmethod

import pytest

from nas.accuracy.base import (
    Estimate,
    Estimator,
    PortableEstimator,
    PreparedEstimator,
    StagedEstimator,
    in_stages,
    is_accuracy_of,
    label_of,
    max_score_of,
    number_of_stages,
)
from nas.spec import NetworkSpec


class EstimatorContract:
    """Tests of an estimator; a subclass implements `estimator` and `network`."""

    @abstractmethod
    def estimator(self) -> Estimator:
        """Return the estimator, with settings that make one estimate quick."""

    @abstractmethod
    def network(self) -> NetworkSpec:
        """Return a network that it can evaluate."""

    @pytest.fixture
    def prepared(self) -> Estimator:
        """The estimator, prepared as a search does it."""
        estimator = self.estimator()
        if isinstance(estimator, PreparedEstimator):
            remarks = estimator.prepare(lambda done, total: None)
            assert all(isinstance(remark, str) for remark in remarks)
        return estimator

    def test_the_fingerprint_is_plain_data_that_stays_the_same(self, prepared: Estimator) -> None:
        """Runs compare it after a round trip through JSON."""
        fingerprint = prepared.fingerprint()
        assert json.loads(json.dumps(fingerprint)) == json.loads(json.dumps(prepared.fingerprint()))
        assert fingerprint

    def test_it_travels_to_worker_processes(self, prepared: Estimator) -> None:
        """It can be pickled once it is prepared, and gives the same estimates after unpickling."""
        arrived: Estimator = pickle.loads(pickle.dumps(prepared))  # noqa: S301
        assert arrived.fingerprint() == prepared.fingerprint()
        assert _figures(arrived.estimate(self.network(), 1)) == _figures(
            prepared.estimate(self.network(), 1)
        )

    def test_the_score_is_a_number_within_its_range(self, prepared: Estimator) -> None:
        """Scores are finite, at most `max_score`; those that are accuracies lie between 0 and 1."""
        found = prepared.estimate(self.network(), 0)
        assert math.isfinite(found.score)
        highest = max_score_of(prepared)
        if highest is not None:
            assert 0 <= found.score <= highest
        assert found.accuracy is None or 0 <= found.accuracy <= 1
        if is_accuracy_of(prepared):
            assert 0 <= found.score <= 1
        assert found.seconds >= 0
        assert found.seed == 0
        assert label_of(prepared)

    def test_a_seed_repeats_the_estimate(self, prepared: Estimator) -> None:
        """The same seed gives the same numbers on the same machine."""
        one, two = (prepared.estimate(self.network(), 3) for _ in range(2))
        assert _figures(one) == _figures(two)

    def test_stages_lead_to_the_estimate(self, prepared: Estimator) -> None:
        """As many stages as announced, the last one equal to the whole estimate."""
        stages = list(in_stages(prepared, self.network(), 0))
        assert len(stages) == number_of_stages(prepared)
        if isinstance(prepared, StagedEstimator):
            assert _figures(stages[-1]) == _figures(prepared.estimate(self.network(), 0))

    def test_its_state_can_be_taken_along(self, prepared: Estimator) -> None:
        """What another machine needs can be exported, and imported without changing anything."""
        if not isinstance(prepared, PortableEstimator):
            pytest.skip("the estimator needs nothing that another machine does not have")
        before = prepared.fingerprint()
        state = prepared.export_state()
        assert isinstance(state, bytes)
        prepared.import_state(state)
        assert prepared.fingerprint() == before


def _figures(estimate: Estimate) -> dict[str, float | None]:
    """Return an estimate without the time that it took."""
    figures = dataclasses.asdict(estimate)
    del figures["seconds"]
    return figures
