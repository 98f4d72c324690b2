import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logit

from nas.accuracy.supernet.ensemble import ALONE, SMALLEST_ERROR, Ensemble
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
    ensemble = Ensemble((0.0, 200.0, 0.0), (0.5, 100.0, 1.0))
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
    ensemble = Ensemble.of(drawn)
    network, other = ((accuracy, 0.0, last) for accuracy, _, last in (network, other))
    better = tuple(map(max, network, other))
    assert ensemble.score(better) >= ensemble.score(network) - 1e-12


@given(numbers, st.integers(2, 24), estimates)
def test_estimates_that_are_the_same_of_all_networks_do_not_count(shared, number, network):
    drawn = [((1 + each) / 30, shared, 1) for each in range(number)]
    assert Ensemble.of(drawn).suggested(network) == ALONE.suggested(network[:1])


def test_missing_estimates_do_not_count():
    ensemble = Ensemble.of([(0.5, 100, math.nan), (0.6, math.nan, math.nan), (0.7, 300, 1)])
    assert ensemble.means[1:] == (200, 1)
    assert ensemble.deviations[1:] == (100, 0)
    assert ensemble.score((0.6, math.nan, 5)) == pytest.approx(0.6)
    assert ensemble.suggested((0.6, 200, math.nan)) == pytest.approx(
        [logit(0.6), ensemble.means[0]]
    )


def test_an_accuracy_alone_is_the_score():
    assert ALONE.score((0.25,)) == pytest.approx(0.25)
    assert ALONE.score((1.0,)) == pytest.approx(1 - SMALLEST_ERROR)


def test_an_ensemble_is_kept_in_a_file(tmp_path):
    ensemble = Ensemble.of([(0.25, -3.5), (1 / 3, 1e9)])
    ensemble.write(tmp_path / "a.ensemble.json")
    assert Ensemble.read(tmp_path / "a.ensemble.json", 2) == ensemble


@pytest.mark.parametrize(
    "content",
    [
        "{",
        '{"means": [0.5]}',
        '{"means": [], "deviations": []}',
        '{"means": [NaN, 1], "deviations": [1, 1]}',
        '{"means": [0.5, 1], "deviations": [0.1, -1]}',
        '{"means": [0.5, 1], "deviations": [0.1, Infinity]}',
        '{"means": [0.5, 1], "deviations": [0.1]}',
        '{"means": [0.5], "deviations": [0.1]}',
    ],
)
def test_a_damaged_file_is_refused(tmp_path, content):
    (tmp_path / "a.ensemble.json").write_text(content, encoding="utf-8")
    with pytest.raises(MixnasError, match=r"a\.ensemble\.json"):
        Ensemble.read(tmp_path / "a.ensemble.json", 2)
