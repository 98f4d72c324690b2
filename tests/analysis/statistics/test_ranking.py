import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr

from analysis.errors import AnalysisError
from analysis.statistics.ranking import (
    MADDS_TOLERANCE,
    _interval,
    precision_at,
    ranking_card,
)


def table(n=40, noise=1.0, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.8, 0.95, n)
    return pd.DataFrame(
        {
            "accuracy": truth,
            "madds": 1e8 * truth**4 * rng.uniform(0.8, 1.2, n),
            "score": truth + noise * rng.normal(0, 0.02, n),
        }
    )


@given(st.integers(0, 1000), st.integers(4, 30), st.sampled_from([MADDS_TOLERANCE, 0.1]))
def test_statistics_equal_scipys_and_brute_force(seed, n, tolerance):
    rows = table(n, seed=seed)
    ranking = ranking_card(rows, ["score"], repeats=20, tolerance=tolerance).rankings[0]
    assert ranking.tau.value == pytest.approx(kendalltau(rows["score"], rows["accuracy"])[0])
    assert ranking.spearman.value == pytest.approx(spearmanr(rows["score"], rows["accuracy"])[0])
    close = [
        np.sign((a.score - b.score) * (a.accuracy - b.accuracy))
        for a, b in itertools.combinations(rows.itertuples(), 2)
        if abs(a.madds - b.madds) < tolerance * max(a.madds, b.madds)
    ]
    assert ranking.band_pairs == len(close)
    if close:
        assert ranking.band.value == pytest.approx(np.mean(close))
    else:
        assert np.isnan(ranking.band.value)


def test_intervals_hold_the_value_and_follow_from_the_seed():
    one, two, other = (
        ranking_card(table(), ["score"], seed=seed, repeats=300) for seed in (1, 1, 2)
    )
    assert one == two
    assert one != other
    tau = one.rankings[0].tau
    assert tau.low < tau.value < tau.high


@pytest.mark.slow
def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    """Of 60 samples of a known population, 95% intervals miss its tau seldom."""
    world = table(4_000, seed=7)
    truth = kendalltau(world["score"], world["accuracy"])[0]
    missed = 0
    for seed in range(60):
        drawn = world.sample(60, random_state=seed)
        tau = ranking_card(drawn, ["score"], seed=seed, repeats=200).rankings[0].tau
        missed += not tau.low <= truth <= tau.high
    assert missed <= 9  # 3 expected; the percentile bootstrap of tau is a little narrow


def test_a_perfect_score_is_perfect_and_its_reverse_is_not():
    rows = table()
    rows["score"], rows["reverse"] = rows["accuracy"], -rows["accuracy"]
    good, bad = ranking_card(rows, ["score", "reverse"], repeats=50).rankings
    assert (good.tau.value, good.band.value, good.spearman.value) == pytest.approx((1, 1, 1))
    assert (bad.tau.value, bad.band.value) == pytest.approx((-1, -1))
    assert {found.value for found in good.precision.values()} == {1.0}
    assert {found.value for found in bad.precision.values()} == {0.0}


def test_precision_counts_the_shared_best():
    score, truth = np.array([5, 4, 3, 2, 1]), np.array([4, 5, 1, 2, 3])
    assert precision_at(score, truth, 2) == 1
    assert precision_at(score, truth, 3) == pytest.approx(2 / 3)


@given(st.lists(st.integers(0, 3), min_size=4, max_size=12), st.integers(1, 4))
def test_ties_are_broken_at_random(score, k):
    """The mean over many ways to break ties, wherever rows stand."""
    score = np.array(score, dtype=float)
    truth = np.arange(len(score), dtype=float)
    rng = np.random.default_rng(0)
    found = []
    for _ in range(2_000):
        order = np.lexsort((rng.random(len(score)), -score))[:k]
        found.append(len(set(order) & set(np.argsort(-truth)[:k])) / k)
    assert precision_at(score, truth, k) == pytest.approx(np.mean(found), abs=0.06)


def test_several_trainings_show_what_one_more_would_rank():
    rng = np.random.default_rng(0)
    rows = table()
    replicates = rows["accuracy"].to_numpy()[:, None] + rng.normal(0, 0.005, (40, 3))
    card = ranking_card(rows, ["score"], replicates, repeats=50)
    expected = [
        kendalltau(replicates[:, i], np.delete(replicates, i, 1).mean(axis=1))[0] for i in range(3)
    ]
    assert card.seeds.value == pytest.approx(np.mean(expected))
    assert ranking_card(rows, ["score"], replicates[:, :1], repeats=50).seeds is None


def test_ties_and_constant_scores_are_told_as_unknown():
    rows = table()
    rows["score"] = 1.0
    plain = ranking_card(rows, ["score"], repeats=50).to_dict()["rankings"][0]
    assert plain["tau"]["value"] is None
    assert plain["band"]["value"] == 0


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (table(2), "at least 3 networks, not 2"),
        (table().assign(score=np.nan), "needs finite numbers"),
    ],
)
def test_what_cannot_be_ranked_is_refused(rows, said):
    with pytest.raises(AnalysisError, match=said):
        ranking_card(rows, ["score"])


# -- right values ---------------------------------------------------------------------------


def small(**columns):
    """Five networks; the score swaps the second with the third, and the fourth with the fifth."""
    rows = {
        "accuracy": [0.1, 0.3, 0.2, 0.5, 0.4],
        "score": [1.0, 2, 3, 4, 5],
        # Alike are the first two (4% apart), and the last two; 95 and 100 differ by 5%.
        "madds": [96.0, 100, 95, 200, 209],
    }
    return pd.DataFrame({**rows, **columns})


def test_the_statistics_of_five_networks():
    card = ranking_card(small(), ["score"])
    (ranking,) = card.rankings
    assert (card.n, card.seed, card.repeats) == (5, 0, 2_000)
    assert ranking.tau.value == pytest.approx(0.6)  # 8 pairs agree, 2 do not
    assert ranking.spearman.value == pytest.approx(0.8)  # 1 - 6 * 4 / (5 * 24)
    # Alike: 96 and 100 (agrees), 96 and 95 (agrees), 200 and 209 (does not).
    assert (ranking.band_pairs, ranking.band.value) == (3, pytest.approx(1 / 3))
    assert {k: found.value for k, found in ranking.precision.items()} == {1: 0.0}


@pytest.mark.parametrize(
    ("n", "ks"), [(3, [1]), (16, [1, 2, 4]), (40, [2, 4, 10]), (60, [3, 6, 15])]
)
def test_precision_is_of_the_best_twentieth_tenth_and_quarter(n, ks):
    assert list(ranking_card(table(n), ["score"], repeats=2).rankings[0].precision) == ks


def test_a_perfect_score_of_few_networks_is_perfect_in_every_resample():
    rows = table(16)
    rows["score"] = rows["accuracy"]
    (ranking,) = ranking_card(rows, ["score"], repeats=500).rankings
    for found in (ranking.tau, ranking.spearman, *ranking.precision.values()):
        assert (found.value, found.low, found.high) == pytest.approx((1, 1, 1))


@pytest.mark.parametrize(
    ("k", "share"),
    [
        (1, 1.0),  # a; a
        (2, 0.5),  # a, b; a, c
        (3, 2 / 3),  # a, b, b; a, c, b
        (4, 1.0),
    ],
)
def test_copies_of_a_network_are_the_same_network(k, share):
    score, truth, times = np.array([9.0, 5, 1]), np.array([9.0, 1, 5]), np.array([1, 2, 1])
    assert precision_at(score, truth, k, times) == pytest.approx(share)


def test_copies_that_tie_with_others_share_the_last_places():
    # Two places for a, a, b: both copies of a with 1/3, one of a and b with 2/3. Truth: a, a.
    score, truth = np.array([5.0, 5]), np.array([2.0, 1])
    assert precision_at(score, truth, 2, np.array([2, 1])) == pytest.approx((2 / 3 + 2 * 1 / 3) / 2)


def test_one_more_training_run_is_compared_with_the_mean_of_the_others():
    # Run 1: 1 to 5; mean of the others: 2.5, 1, 2.5, 4, 5.5. Of ten pairs 8 agree, one does not,
    # one is tied. Run 2 agrees with the mean of the others, run 3 is like run 1.
    runs = np.array([[1.0, 2, 3], [2, 1, 1], [3, 3, 2], [4, 4, 4], [5, 6, 5]])
    found = ranking_card(small(), ["score"], runs, repeats=20).seeds
    assert found.value == pytest.approx((7 / np.sqrt(9 * 10) + 1 + 7 / np.sqrt(9 * 10)) / 3)


def test_with_two_runs_it_is_one_against_the_other():
    runs = np.array([[0.9, 0.8], [0.8, 0.8], [0.7, 0.75], [0.95, 0.9], [0.6, 0.65]])
    found = ranking_card(small(), ["score"], runs, repeats=20).seeds
    assert found.value == pytest.approx(kendalltau(runs[:, 0], runs[:, 1])[0])


def test_an_interval_leaves_out_resamples_in_which_nothing_is_defined():
    draws = np.arange(101)[:, None]
    found = _interval(lambda rows: float(rows[0]), draws)
    assert (found.value, found.low, found.high) == pytest.approx((0, 2.5, 97.5))
    found = _interval(lambda rows: float(rows[0]) if rows[0] % 2 else np.nan, draws)
    assert (found.low, found.high) == pytest.approx((3.45, 96.55))
    found = _interval(lambda rows: np.nan, draws)
    assert np.isnan([found.value, found.low, found.high]).all()


def test_three_networks_can_be_ranked_and_json_has_no_nan():
    rows = small().head(3).assign(madds=[1e8, 2e8, 3e8])
    data = ranking_card(rows, ["score"], repeats=5).to_dict()
    assert data["n"] == 3
    assert data["rankings"][0]["band"] == {"value": None, "low": None, "high": None}
    assert data["rankings"][0]["band_pairs"] == 0
