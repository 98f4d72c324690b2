import pytest

from nas.errors import DocumentError
from nas.train.recipe import Recipe, load_recipe


def test_the_rate_rises_then_falls():
    recipe = Recipe(learning_rate=1.0, warmup=0.2)
    rates = [recipe.rate(step, 100, 10) for step in range(100)]
    assert rates[0] == pytest.approx(0.05)
    assert max(rates) == rates[19] == rates[20] == 1.0
    assert rates[20:] == sorted(rates[20:], reverse=True)
    assert rates[-1] < 0.001


def test_the_exponential_schedule_is_mnasnets():
    """x 0.97 every 2.4 epochs (Tan et al. 2019, section 4)."""
    recipe = Recipe(learning_rate=0.256, warmup=0.0, schedule="exponential")
    epoch_steps = 10
    rates = [recipe.rate(step, 3500, epoch_steps) for step in range(3500)]
    assert rates[23] == 0.256
    assert rates[24] == pytest.approx(0.256 * 0.97)
    assert rates[240] == pytest.approx(0.256 * 0.97**10)
    assert {Recipe(schedule="constant", warmup=0.0).rate(s, 9, 3) for s in range(9)} == {0.06}


def test_a_recipe_is_read_with_changes(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("epochs: 40\noptimiser: adamw\nlearning_rate: 0.001\n", encoding="utf-8")
    recipe = load_recipe(path, {"epochs": 2})
    assert (recipe.epochs, recipe.optimiser, recipe.learning_rate) == (2, "adamw", 0.001)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epochs: 0\n", r"mine.yaml:1: epochs: .*greater than 0; found 0"),
        (
            "epochs: 3\nlerning_rate: 0.1\n",
            r"mine.yaml:2: .*'lerning_rate' \(did you mean 'learning_rate'",
        ),
        ("schedule: linear\n", r"mine.yaml:1: schedule: .*allowed: constant, cosine, exp"),
        ("- 1\n", "a recipe must be a mapping"),
    ],
)
def test_a_wrong_recipe_says_where(tmp_path, text, said):
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DocumentError, match=said):
        load_recipe(path)
