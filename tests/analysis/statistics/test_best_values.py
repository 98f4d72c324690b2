"""Best values of design variables against drawing subsets."""

import math

import numpy as np
import pytest

from analysis.errors import AnalysisError
from analysis.statistics.best_values import SubsetWinners, best_choices, best_value, winners


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


def test_an_interval_is_of_the_winners_values():
    values = np.arange(101.0)
    values[7] = math.nan
    rows = SubsetWinners(rows=np.arange(101), n=200, size=50, seed=0)
    found = best_value(values, rows)
    known = np.delete(values, 7)
    assert found.low == pytest.approx(np.quantile(known, 0.025))
    assert (found.median, found.level, found.n, found.dropped) == (50.5, 0.95, 200, 1)
    assert found.high == pytest.approx(np.quantile(known, 0.975))
    assert best_value(values, rows, level=0.5).high == pytest.approx(np.quantile(known, 0.75))


def test_shares_of_wins_are_counted():
    rows = SubsetWinners(rows=np.array([0, 1, 1, 3]), n=4, size=1, seed=0)
    assert best_choices(["a", "b", "c", "c"], rows) == {"b": 0.5, "a": 0.25, "c": 0.25}


@pytest.mark.parametrize(
    ("n", "share", "size"), [(3, 0.25, 1), (7, 0.25, 1), (8, 0.25, 2), (8, 1, 8)]
)
def test_a_subset_is_a_share_of_the_population(n, share, size):
    found = winners(np.arange(n), share=share, repeats=5)
    assert (found.n, found.size, len(found.rows), found.seed) == (n, size, 5, 0)
    assert len(winners([0.1, 0.2]).rows) == 10_000


def test_the_best_of_a_whole_population_wins_as_often_as_it_is_drawn():
    found = winners(np.arange(4.0), share=1, repeats=40_000).rows
    # It is not drawn with probability (3 / 4)^4; the worst wins only if it alone is drawn.
    assert (found == 0).mean() == pytest.approx(1 - 0.75**4, abs=0.01)
    assert (found == 3).mean() == pytest.approx(0.25**4, abs=0.002)


def test_the_smallest_draw_makes_the_worst_network_the_winner(monkeypatch):
    class Tiny:
        random = staticmethod(lambda n: np.full(n, 1e-300))
        integers = staticmethod(np.zeros_like)

    monkeypatch.setattr("analysis.statistics.best_values.np.random.default_rng", lambda seed: Tiny)
    assert winners([0.2, 0.4, 0.1], share=0.4, repeats=3).rows.tolist() == [1, 1, 1]
