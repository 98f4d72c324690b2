"""Best values of design variables against drawing subsets."""

import math

import numpy as np
import pytest

from analysis.errors import AnalysisError
from analysis.statistics.best_values import best_choices, best_value, winners


def simulated(errors, share, repeats, rng):
    """The winners as the paper describes them: by drawing subsets."""
    known = np.flatnonzero(np.isfinite(errors))
    size = max(1, int(len(known) * share))
    drawn = rng.choice(known, (repeats, size))
    return drawn[np.arange(repeats), errors[drawn].argmin(axis=1)]


@pytest.mark.parametrize("n", [1, 3, 40, 500])
@pytest.mark.parametrize("kind", ["different", "tied", "one value"])
def test_winners_are_those_of_drawn_subsets(n, kind):
    rng = np.random.default_rng(n)
    errors = rng.random(n)
    if kind == "tied":
        errors = np.round(errors, 1)
    if kind == "one value":
        errors[:] = 0.5
    found = winners(errors, repeats=20_000)
    expected = simulated(errors, 0.25, 20_000, rng)
    counts = [np.bincount(rows, minlength=n) for rows in (found.rows, expected)]
    often = counts[1] > 50
    assert np.abs(counts[0] - counts[1])[often].max() < 6 * np.sqrt(counts[1][often] * 2).max()
    assert counts[0][~often].sum() == pytest.approx(counts[1][~often].sum(), abs=400)
    assert (found.n, found.size) == (n, max(1, n // 4))


def test_the_winners_ranks_are_the_known_ones():
    """Percentiles 2.5, 50 and 97.5 of the winner's rank among 500 networks: 0, 2 and 14."""
    rank = np.arange(500.0)
    interval = best_value(rank, winners(rank, repeats=50_000))
    assert (interval.low, interval.median) == (0, 2)
    assert interval.high == pytest.approx(14, abs=1)


def test_networks_without_an_error_never_win():
    errors = np.array([math.nan, 0.3, math.inf, 0.2, -math.inf])
    found = winners(errors, share=1.0)
    assert set(found.rows) == {1, 3}
    assert found.n == 2
    assert best_value([9, math.nan, 9, 7, 9], found).low == 7
    assert best_value([9, math.nan, 9, 7, 9], found).dropped == (found.rows == 1).sum()
    with pytest.raises(AnalysisError, match="no network has a finite error"):
        winners([math.nan])
    with pytest.raises(AnalysisError, match=r"share of the population must be in \(0, 1\], not 2"):
        winners([0.1], share=2)
    with pytest.raises(AnalysisError, match="none of the best networks has a finite value"):
        best_value([math.nan] * 5, found)


def test_a_seed_repeats_the_winners():
    errors = np.random.default_rng(0).random(100)
    assert (winners(errors, seed=3).rows == winners(errors, seed=3).rows).all()
    assert (winners(errors, seed=3).rows != winners(errors, seed=4).rows).any()


def test_choices_win_as_often_as_their_networks():
    found = winners([0.1, 0.1, 0.1, 0.9], share=0.5)
    shares = best_choices(["3x3", "5x5", "5x5", "7x7"], found)
    assert list(shares)[:2] == ["5x5", "3x3"]
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["5x5"] == pytest.approx(2 * shares["3x3"], rel=0.1)
