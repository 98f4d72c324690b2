import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.accuracy.fidelity import Images
from nas.accuracy.supernet.blend import Blend, other_estimators
from nas.errors import MixnasError
from nas.train.recipe import Recipe
from nas.train.settings import ON_THE_CPU, PlacementSettings

numbers = st.floats(-1e6, 1e6, allow_subnormal=False)
opinions = st.tuples(st.floats(0, 1), numbers, numbers)


def test_opinions_are_put_into_points_of_accuracy():
    """Accuracies are 0.5 and 0.7, scores 100 and 300: means 0.6 and 200, deviations 0.1 and 100."""
    blend = Blend.of([(0.5, 100), (0.7, 300)])
    assert blend.means == pytest.approx((0.6, 200))
    assert blend.deviations == pytest.approx((0.1, 100))
    assert blend.score((0.6, 200)) == pytest.approx(0.6)
    assert blend.score((0.6, 300)) == pytest.approx(0.65)
    assert blend.score((0.7, 100)) == pytest.approx(0.6)
    assert blend.score((0.9, 100_000)) == 1
    assert blend.score((0.0, -100_000)) == 0


def test_three_opinions_count_a_third_each():
    blend = Blend.of([(0.5, 100, -1), (0.7, 300, 1)])
    assert blend.score((0.6, 300, 3)) == pytest.approx((0.6 + 0.7 + 0.9) / 3)


@given(st.lists(opinions, min_size=1), opinions)
def test_scores_lie_between_0_and_1(drawn, network):
    assert 0 <= Blend.of(drawn).score(network) <= 1


@given(st.lists(opinions, min_size=1), opinions, opinions)
def test_a_network_that_is_better_by_all_is_not_worse(drawn, network, other):
    blend = Blend.of(drawn)
    better = tuple(map(max, network, other))
    assert blend.score(better) >= blend.score(network) - 1e-12


@given(numbers, opinions)
def test_opinions_that_are_the_same_of_all_networks_do_not_count(shared, network):
    blend = Blend.of([(0.2, shared, 1), (0.4, shared, 1)])
    assert blend.score(network) == network[0]


def test_a_blend_is_kept_in_a_file(tmp_path):
    blend = Blend.of([(0.25, -3.5), (1 / 3, 1e9)])
    blend.write(tmp_path / "a.blend.json")
    assert Blend.read(tmp_path / "a.blend.json") == blend


@pytest.mark.parametrize(
    ("on", "score", "expected"),
    [("mps", "naswot", "cpu"), ("mps", "zico", "mps"), ("cuda", "naswot", "cuda")],
)
def test_scores_in_double_precision_are_computed_where_there_is_any(on, score, expected):
    placement = PlacementSettings(on, "fp32")
    shown = Images("digits", 16, None, 200)
    (found,) = other_estimators(shown, placement, score, 0, Recipe(), "")
    assert found.placement.on == expected


def test_a_short_training_is_of_the_images_of_the_supernet():
    given = (0.25, 0.5, 0.75), (0.125, 0.25, 0.5)
    shown = Images("digits", 16, 40, 200)
    zero_cost, short = other_estimators(
        shown, ON_THE_CPU, "zico", 640, Recipe(normalisation=given), "w.safetensors"
    )
    assert zero_cost.shown == Images("digits", 16, 40)
    assert short.shown == shown
    assert (short.images, short.width, short.score, short.weights) == (
        640, 1.0, "accuracy", "w.safetensors",
    )  # fmt: skip
    assert short.recipe.normalisation == given
    assert other_estimators(shown, ON_THE_CPU, "", 0, Recipe(), "") == []


@pytest.mark.parametrize(
    "content",
    [
        "{",
        '{"means": [0.5]}',
        '{"means": [], "deviations": []}',
        '{"means": [NaN, 1], "deviations": [1, 1]}',
        '{"means": [0.5, 1], "deviations": [0.1, -1]}',
        '{"means": [0.5, 1], "deviations": [0.1]}',
    ],
)
def test_a_damaged_file_is_refused(tmp_path, content):
    (tmp_path / "a.blend.json").write_text(content, encoding="utf-8")
    with pytest.raises(MixnasError, match=r"a\.blend\.json"):
        Blend.read(tmp_path / "a.blend.json")
