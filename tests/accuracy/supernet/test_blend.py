import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.accuracy.supernet.blend import Blend, Opinions
from nas.errors import MixnasError

numbers = st.floats(-1e6, 1e6, allow_subnormal=False)
opinions = st.builds(Opinions, st.floats(0, 1), numbers)


def test_a_zero_cost_score_is_put_into_points_of_accuracy():
    """Accuracies are 0.5 and 0.7, scores 100 and 300: means 0.6 and 200, deviations 0.1 and 100."""
    blend = Blend.of([Opinions(0.5, 100), Opinions(0.7, 300)])
    assert list(vars(blend).values()) == pytest.approx([0.6, 0.1, 200, 100])
    assert blend.score(Opinions(0.6, 200)) == pytest.approx(0.6)
    assert blend.score(Opinions(0.6, 300)) == pytest.approx(0.65)
    assert blend.score(Opinions(0.7, 100)) == pytest.approx(0.6)
    assert blend.score(Opinions(0.9, 100_000)) == 1
    assert blend.score(Opinions(0.0, -100_000)) == 0


@given(st.lists(opinions, min_size=1), opinions)
def test_scores_lie_between_0_and_1(drawn, network):
    assert 0 <= Blend.of(drawn).score(network) <= 1


@given(st.lists(opinions, min_size=1), opinions, st.floats(0, 1), numbers)
def test_a_network_that_is_better_by_both_is_not_worse(drawn, network, accuracy, zero_cost):
    blend = Blend.of(drawn)
    better = Opinions(max(network.accuracy, accuracy), max(network.zero_cost, zero_cost))
    assert blend.score(better) >= blend.score(network) - 1e-12


@given(numbers, opinions)
def test_a_score_that_all_networks_share_says_nothing(shared, network):
    blend = Blend.of([Opinions(0.2, shared), Opinions(0.4, shared)])
    assert blend.score(network) == network.accuracy


def test_a_blend_is_kept_in_a_file(tmp_path):
    blend = Blend.of([Opinions(0.25, -3.5), Opinions(1 / 3, 1e9)])
    blend.write(tmp_path / "a.blend.json")
    assert Blend.read(tmp_path / "a.blend.json") == blend


@pytest.mark.parametrize(
    "content",
    [
        "{",
        '{"accuracy": 0.5}',
        '{"accuracy": NaN, "accuracy_deviation": 1, "zero_cost": 1, "zero_cost_deviation": 1}',
        '{"accuracy": 1, "accuracy_deviation": -1, "zero_cost": 1, "zero_cost_deviation": 1}',
    ],
)
def test_a_damaged_file_is_refused(tmp_path, content):
    (tmp_path / "a.blend.json").write_text(content, encoding="utf-8")
    with pytest.raises(MixnasError, match=r"a\.blend\.json"):
        Blend.read(tmp_path / "a.blend.json")
