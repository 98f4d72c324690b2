"""Our estimators keep the contract that users' own ones are tested by."""

import pytest

from nas.accuracy import Estimate, open_estimator
from nas.accuracy.pool import ListedPool
from nas.testing.estimators import EstimatorContract
from nas.testing.fakes import Instant, Portable, Staged
from tests.networks import DEEP, TINY

pytestmark = pytest.mark.usefixtures("cache_of_the_tests")


class _Contract(EstimatorContract):
    def network(self):
        return TINY


class TestInstant(_Contract):
    def estimator(self):
        return Instant()


class TestStaged(_Contract):
    def estimator(self):
        return Staged()


class TestPortable(_Contract):
    def estimator(self):
        fake = Portable()
        fake.import_state(fake.export_state())
        return fake


class TestShort(_Contract):
    def estimator(self):
        return open_estimator("short:images=320,resolution=16,validation=64,stages=2", "digits")


class TestZeroCost(_Contract):
    def estimator(self):
        return open_estimator("zero-cost:naswot,resolution=16", "digits")


class TestSupernet(_Contract):
    def estimator(self):
        settings = "images=640,resolution=16,validation=64,calibration=64"
        return open_estimator(f"supernet:{settings}", "digits", ListedPool([TINY, DEEP]))


def test_the_contract_notices_scores_that_change():
    class Fickle(Instant):
        calls = 0

        def estimate(self, spec, seed):
            Fickle.calls += 1
            return Estimate(Fickle.calls / 100, 0.1, 0.0, seed)

    class Changes(_Contract):
        def estimator(self):
            return Fickle()

    with pytest.raises(AssertionError):
        Changes().test_a_seed_repeats_the_estimate(Fickle())


def test_the_contract_notices_accuracies_in_percent():
    class Percent(Instant):
        def estimate(self, spec, seed):
            return Estimate(93.0, 0.1, 0.0, seed)

    with pytest.raises(AssertionError):
        _Contract().test_the_score_is_a_number_within_its_range(Percent())
