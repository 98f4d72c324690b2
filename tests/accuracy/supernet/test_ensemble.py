import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logit

from nas.accuracy.supernet.ensemble import SMALLEST_ERROR, Ensemble
from nas.document import Document
from nas.errors import MixnasError

numbers = st.floats(-1e6, 1e6, allow_subnormal=False)
estimates = st.tuples(st.floats(0, 1), numbers | st.just(math.nan), numbers)


def test_estimates_are_put_into_log_odds_of_accuracies():
    """Log odds of the accuracies are 0 and 2: mean 1, deviation 1; scores 200 and 100."""
    low, high = 0.5, 1 / (1 + math.exp(-2))
    ensemble = Ensemble.of([(low, 100), (high, 300)])
    assert ensemble.means == pytest.approx((1, 200))
    assert ensemble.deviations == pytest.approx((1, 100))
    assert ensemble.suggested((low, 350)) == pytest.approx([0, 2.5])
    assert logit(ensemble.score((low, 350))) == pytest.approx(1.25)
    assert logit(ensemble.score((high, 100))) == pytest.approx(1)


def test_three_estimates_count_a_third_each():
    ensemble = Ensemble((0.0, 200.0, 0.0), (0.5, 100.0, 1.0), (-1.0, 0.0, -3.0))
    assert logit(ensemble.score((0.5, 400, -4))) == pytest.approx((0 + 1 - 2) / 3)


def test_the_best_of_good_networks_are_told_apart():
    """All are more accurate than nearly all others, so that a plain mean would exceed 1."""
    drawn = [(0.9 + number / 240, number) for number in range(24)]
    ensemble = Ensemble.of(drawn)
    best = [ensemble.score(each) for each in ((0.98, 25), (0.98, 30), (0.995, 30), (1.0, 40))]
    assert best == sorted(set(best))
    assert 0.98 < best[0] < best[-1] < 1


@given(st.lists(estimates, min_size=1), estimates)
def test_scores_lie_between_0_and_1(drawn, network):
    ensemble = Ensemble.of(drawn)
    suggested = ensemble.suggested(network)
    assert all(map(math.isfinite, suggested))
    assert 1 <= len(suggested) <= 3
    assert 0 <= ensemble.score(network) <= 1


@given(st.lists(estimates, min_size=1), estimates, estimates)
def test_a_network_that_is_better_by_all_is_not_worse(drawn, network, other):
    """Not a number is worse than any number."""
    ensemble = Ensemble.of(drawn)
    network, other = ((a, ensemble.lowest[1] if b != b else b, c) for a, b, c in (network, other))
    better = tuple(map(max, network, other))
    assert ensemble.score(better) >= ensemble.score(network) - 1e-12


@given(numbers, st.integers(2, 24), estimates)
def test_estimates_that_are_the_same_of_all_networks_do_not_count(shared, number, network):
    drawn = [((1 + each) / 30, shared, 1) for each in range(number)]
    (own,) = Ensemble.of(drawn).suggested(network)
    assert own == pytest.approx(logit(min(max(network[0], SMALLEST_ERROR), 1 - SMALLEST_ERROR)))
    equal = [(0.25, each, 1) for each in range(number)]  # there is nothing to put them into
    assert Ensemble.of(equal).suggested(network) == [own]


def test_what_is_not_finite_counts_as_the_lowest():
    ensemble = Ensemble.of([(0.5, 100, math.nan), (0.6, math.nan, math.nan), (0.7, 300, 1)])
    assert ensemble.means[1:] == pytest.approx((500 / 3, 1))
    assert ensemble.lowest[1:] == (100, 1)
    assert ensemble.deviations[2] == 0
    nothing, lowest = (ensemble.score((0.6, value, 5)) for value in (math.nan, 100))
    assert nothing == lowest < ensemble.score((0.6, 101, 5)) < 0.6
    assert Ensemble.of([(0.5, math.nan), (0.6, math.nan)]).deviations[1] == 0


def test_an_ensemble_can_be_kept():
    ensemble = Ensemble.of([(0.25, -3.5), (1 / 3, 1e9)])
    kept = json.loads(json.dumps(ensemble.facts()))
    assert Ensemble.of_document(Document("kept", kept), 2) == ensemble


@pytest.mark.parametrize(
    "changes",
    [
        {"means": [0.5]},
        {"means": []},
        {"means": [math.nan, 1]},
        {"lowest": [0.5, math.inf]},
        {"deviations": [0.1, -1]},
        {"deviations": [0.1, math.inf]},
        {"deviations": None},
        {"others": [1, 2]},
    ],
)
def test_a_damaged_document_is_refused(changes):
    whole = {"means": [0.5, 1], "deviations": [0.1, 1], "lowest": [0.2, 0]}
    Ensemble.of_document(Document("a.json", whole), 2)
    for document, members in (({**whole, **changes}, 2), (whole, 3), (None, 2), ([], 2)):
        with pytest.raises(MixnasError, match=r"a\.json"):
            Ensemble.of_document(Document("a.json", document), members)
