"""Population statistics against independent computations: brute force, scipy, simulation."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from analysis.errors import AnalysisError
from analysis.statistics.distributions import (
    common_edges,
    edf,
    ks_test,
    normalise,
    search_efficiency,
)

# Few values, so that ties are common; what is not finite is among them.
ODD = st.sampled_from([0.1, 0.2, 0.2, 0.3, 0.5, 1.0, math.nan, math.inf, -math.inf])
some = arrays(float, st.integers(1, 40), elements=ODD)


@given(some)
def test_the_edf_is_scipys(errors):
    finite = errors[np.isfinite(errors)]
    if not len(finite):
        with pytest.raises(AnalysisError, match="no network has a finite error"):
            edf(errors)
        return
    found, expected = edf(errors), stats.ecdf(finite).cdf
    np.testing.assert_allclose(found.errors, expected.quantiles)
    np.testing.assert_allclose(found.shares, expected.probabilities)
    assert (found.n, found.dropped) == (len(finite), len(errors) - len(finite))
    assert (found.best, found.effective_n) == (finite.min(), pytest.approx(len(finite)))
    assert found.mean == pytest.approx(finite.mean())
    for error in (0.0, 0.1, 0.25, 2.0):
        assert found.at(error) == pytest.approx((finite <= error).mean())


@given(some, st.integers(1, 5))
def test_a_weight_of_two_is_a_network_twice(errors, times):
    finite = errors[np.isfinite(errors)]
    if len(finite):
        weights = np.ones(len(finite))
        weights[0] = times
        weighed, repeated = edf(finite, weights), edf(np.append(finite, [finite[0]] * (times - 1)))
        np.testing.assert_allclose(weighed.errors, repeated.errors)
        np.testing.assert_allclose(weighed.shares, repeated.shares)
        assert weighed.mean == pytest.approx(repeated.mean)


def test_the_band_is_that_of_dkw_and_holds_the_truth():
    # Figures of the RegNet paper's population sizes.
    for n, reach in ((500, 0.061), (100, 0.136), (32, 0.24)):
        found = edf(np.linspace(0, 1, n))
        assert found.high[0] - found.shares[0] == pytest.approx(reach, abs=5e-4)
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        found = edf(rng.random(50))
        before = np.append(0, found.low[:-1])  # just before a step the share is the last one's
        held += bool((found.errors <= found.high).all() and (found.errors >= before).all())
    assert held / 400 >= 0.95


def test_weights_that_mean_nothing_are_refused():
    for weights in ([1, -1, 1], [1, math.nan, 1]):
        with pytest.raises(AnalysisError, match="weights must be finite and nonnegative"):
            edf([0.1, 0.2, 0.3], weights)
    with pytest.raises(AnalysisError, match="3 errors but 2 weights"):
        edf([0.1, 0.2, 0.3], [1, 1])
    with pytest.raises(AnalysisError, match="finite error and a positive weight"):
        edf([0.1, math.nan], [0, 1])


# -- normalization by complexity -------------------------------------------------------------


@given(arrays(float, st.integers(1, 60), elements=st.floats(0, 10)), st.integers(1, 7))
def test_every_bin_counts_the_same(complexity, bins):
    edges = np.linspace(0, 10, bins + 1)
    found = normalise(complexity, edges)
    expected, _ = np.histogram(complexity, edges)
    assert found.counts.tolist() == expected.tolist()
    assert (found.empty, found.outside) == ((expected == 0).sum(), 0)
    masses, _ = np.histogram(complexity, edges, weights=found.weights)
    np.testing.assert_allclose(masses, np.where(expected > 0, 1 / bins, 0))


def test_what_is_outside_counts_nothing():
    found = normalise([-1, 0, 1, 2, 3, math.nan, math.inf], [0, 1, 2])
    assert found.weights.tolist() == [0, 0.5, 0.25, 0.25, 0, 0, 0]
    assert (found.outside, found.empty) == (4, 0)
    assert normalise([0.5], [0, 1, 2]).empty == 1
    with pytest.raises(AnalysisError, match="no network has a complexity from 0 to 1"):
        normalise([2, 3], [0, 1])
    for edges in ([1], [0, 0], [1, 0], [0, math.nan]):
        with pytest.raises(AnalysisError, match="ascending order"):
            normalise([0.5], edges)


def test_spaces_are_compared_where_both_have_networks():
    edges = common_edges([[1, 2, 5, math.nan], [2, 4, 9]], bins=3)
    np.testing.assert_allclose(edges, [2, 3, 4, 5])
    with pytest.raises(AnalysisError, match="one begins at 4, but another ends at 2"):
        common_edges([[1, 2], [4, 9]])
    with pytest.raises(AnalysisError, match="no finite values"):
        common_edges([[1, 2], [math.nan]])


def test_a_space_that_is_better_at_every_complexity_is_better_when_normalised():
    """Errors fall with complexity; one space has the larger networks, the other the better."""
    rng = np.random.default_rng(0)
    small, large = rng.uniform(1, 8, 4_000), rng.uniform(2, 9, 4_000)
    small = small**2 / 8
    good, bad = 1 / (1 + small), 1.2 / (1 + large)
    assert edf(bad).mean < edf(good).mean
    edges = common_edges([small, large])
    means = [
        edf(errors, normalise(complexity, edges).weights).mean
        for errors, complexity in ((good, small), (bad, large))
    ]
    assert means[0] < means[1]


# -- comparison of two populations --------------------------------------------------------------


@given(some, some)
def test_the_distance_is_that_of_the_two_edfs(one, other):
    if not (np.isfinite(one).any() and np.isfinite(other).any()):
        with pytest.raises(AnalysisError, match="no finite values"):
            ks_test(one, other)
        return
    found = ks_test(one, other)
    first, second = edf(one), edf(other)
    apart = [abs(first.at(e) - second.at(e)) for e in (*first.errors, *second.errors)]
    assert found.statistic == pytest.approx(max(apart))
    assert abs(first.at(found.at) - second.at(found.at)) == pytest.approx(max(apart))
    assert found.n == (first.n, second.n)
    assert found.dropped == (first.dropped, second.dropped)


def test_one_population_is_hardly_two():
    rng = np.random.default_rng(1)
    assert ks_test(rng.random(300), rng.random(300)).p_value > 0.05
    assert ks_test(rng.random(300), rng.random(300) + 0.3).p_value < 1e-6


# -- random search --------------------------------------------------------------------------


@given(arrays(float, st.integers(1, 7), elements=ODD))
def test_the_best_of_m_is_that_of_all_draws_of_m(errors):
    finite = errors[np.isfinite(errors)]
    if not len(finite):
        return
    found = search_efficiency(errors, sizes=[1, 3])
    best = np.sort([min(drawn) for drawn in itertools.product(finite, repeat=3)])
    assert found.mean == pytest.approx([finite.mean(), best.mean()])
    assert (best < found.low[1]).mean() <= 0.025 <= (best <= found.low[1]).mean() + 1e-9
    assert (best > found.high[1]).mean() <= 0.025 + 1e-9
    assert (best >= found.high[1]).mean() >= 0.025
    assert (found.n, found.dropped) == (len(finite), len(errors) - len(finite))


def test_more_networks_find_better_ones():
    found = search_efficiency(np.linspace(0, 1, 1_000))
    assert found.sizes.tolist() == [2**power for power in range(10)]
    assert (np.diff(found.mean) < 0).all()
    assert found.mean[:6] == pytest.approx(1 / (found.sizes[:6] + 1), rel=0.02)  # of an even spread
    weighed = search_efficiency([0.1, 0.9], [1, 3], sizes=[1])
    assert weighed.mean[0] == pytest.approx(0.7)
    with pytest.raises(AnalysisError, match="positive numbers of networks"):
        search_efficiency([0.1], sizes=[0])


# -- fixed numbers --------------------------------------------------------------------------


def test_a_weighted_distribution_by_hand():
    found = edf([0.3, 0.1, 0.3, 0.2, math.nan], [1, 2, 1, 0, 5])
    assert found.errors.tolist() == [0.1, 0.3]
    assert found.shares.tolist() == [0.5, 1]
    assert (found.n, found.dropped, found.best, found.level) == (3, 1, 0.1, 0.95)
    assert found.mean == pytest.approx(0.2)
    assert found.effective_n == pytest.approx(1 / (0.25 + 2 * 0.0625))
    reach = math.sqrt(math.log(40) / 2 / found.effective_n)
    assert found.low.tolist() == pytest.approx([max(0, 0.5 - reach), 1 - reach])
    assert found.high.tolist() == [1, 1]
    assert [found.at(error) for error in (0.0999, 0.1, 0.2, 0.3)] == [0, 0.5, 0.5, 1]
    narrow = edf(np.arange(100), level=0.5)
    assert narrow.high[0] - narrow.shares[0] == pytest.approx(math.sqrt(math.log(4) / 200))


def test_normalization_by_hand():
    found = normalise([1, 1, 1, 3, 5, 9], [0, 2, 4, 5])
    assert found.weights == pytest.approx([1 / 9, 1 / 9, 1 / 9, 1 / 3, 1 / 3, 0])
    assert (found.counts.tolist(), found.empty, found.outside) == ([3, 1, 1], 0, 1)
    assert len(common_edges([[0, 10], [5, 20]])) == 11
    assert common_edges([[0, 10], [5, 20]], bins=1).tolist() == [5, 10]
    with pytest.raises(AnalysisError, match="there is no population"):
        common_edges([])
    with pytest.raises(AnalysisError, match="the same complexity"):
        common_edges([[1, 2], [1.5, 1.5]])
    with pytest.raises(AnalysisError, match="one begins at 2, but another ends at 2"):
        common_edges([[1, 2], [2, 3]])


def test_the_test_of_two_populations_by_hand():
    found = ks_test([1, 2, 3, math.nan], [3, 4, 5, 6, math.inf])
    # At 3, all of the first population and a quarter of the second.
    assert (found.statistic, found.at) == (pytest.approx(0.75), 3)
    assert (found.n, found.dropped) == ((3, 4), (1, 1))


def test_random_search_by_hand():
    found = search_efficiency([1.0, 2, 3, 4], sizes=[1, 2])
    # The best of two draws from four: 1 with 7/16, 2 with 5/16, 3 with 3/16, 4 with 1/16.
    assert found.mean.tolist() == pytest.approx([2.5, (7 + 10 + 9 + 4) / 16])
    assert (found.low.tolist(), found.high.tolist()) == ([1, 1], [4, 4])
    half = search_efficiency([1.0, 2, 3, 4], sizes=[1, 2], level=0.5)
    assert (half.low.tolist(), half.high.tolist()) == ([1, 1], [3, 2])
    assert (half.level, half.n, half.dropped) == (0.5, 4, 0)
    assert search_efficiency(range(5)).sizes.tolist() == [1, 2, 4]
    assert search_efficiency(range(4)).sizes.tolist() == [1, 2, 4]
    assert search_efficiency(range(3)).sizes.tolist() == [1, 2]
    with pytest.raises(AnalysisError, match="positive numbers of networks"):
        search_efficiency([0.1], sizes=[])
