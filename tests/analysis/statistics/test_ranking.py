import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr

from analysis.errors import AnalysisError
from analysis.statistics.ranking import MADDS_TOLERANCE, precision_at, ranking_card


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


@given(st.integers(0, 1000), st.integers(4, 30))
def test_statistics_equal_scipys_and_brute_force(seed, n):
    rows = table(n, seed=seed)
    ranking = ranking_card(rows, ["score"], repeats=20).rankings[0]
    assert ranking.tau.value == pytest.approx(kendalltau(rows["score"], rows["accuracy"])[0])
    assert ranking.spearman.value == pytest.approx(spearmanr(rows["score"], rows["accuracy"])[0])
    close = [
        np.sign((a.score - b.score) * (a.accuracy - b.accuracy))
        for a, b in itertools.combinations(rows.itertuples(), 2)
        if abs(a.madds - b.madds) < MADDS_TOLERANCE * max(a.madds, b.madds)
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


def test_several_trainings_show_the_ceiling():
    rng = np.random.default_rng(0)
    rows = table()
    replicates = rows["accuracy"].to_numpy()[:, None] + rng.normal(0, 0.005, (40, 3))
    card = ranking_card(rows, ["score"], replicates, repeats=50)
    expected = [
        kendalltau(replicates[:, i], replicates[:, j])[0] for i, j in [(1, 0), (2, 0), (2, 1)]
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
