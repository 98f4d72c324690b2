import dataclasses
from pathlib import Path

import pytest
from pydantic import ValidationError

import nas.train.recipe
from nas.errors import DocumentError
from nas.train.recipe import RECIPES, Recipe, load_recipe


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
    recipe = load_recipe(str(path), {"epochs": 2})
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
        load_recipe(str(path))


def test_a_cosine_falls_from_the_peak_to_nearly_zero():
    """Two of ten steps of warm-up; then (1 + cos(pi x)) / 2 at x = 0, 1/8, ... 7/8."""
    recipe = Recipe(learning_rate=1.0, warmup=0.2)
    rates = [recipe.rate(step, 10, 5) for step in range(10)]
    expected = [0.5, 1.0, 1.0, 0.961940, 0.853553, 0.691342, 0.5, 0.308658, 0.146447, 0.038060]
    assert rates == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("warmup", "flat", "expected"),
    [
        (0.0, 0.6, [2.0] * 6 + [2.0, 1.7071068, 1.0, 0.2928932]),
        (0.2, 0.6, [1.0] + [2.0] * 6 + [1.7071068, 1.0, 0.2928932]),
        (0.8, 0.5, [0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.0, 1.0]),
        (0.0, 1.0, [2.0] * 10),
    ],
)
def test_the_rate_may_stay_at_its_peak_before_the_cosine(warmup, flat, expected):
    """Then (1 + cos(pi x)) at x = 0, 1/4, 1/2, 3/4: what fastai calls flat and cosine."""
    recipe = Recipe(learning_rate=2.0, warmup=warmup, flat=flat)
    assert [recipe.rate(step, 10, 5) for step in range(10)] == pytest.approx(expected, abs=1e-6)


def test_fields_that_came_later_count_where_they_have_an_effect():
    assert Recipe().facts().keys() == Recipe().settings().keys() - {"flat", "centralise"}
    assert Recipe(flat=0.5).facts() == {**Recipe().facts(), "flat": 0.5}
    assert Recipe(centralise=True, epochs=9).facts() == {**Recipe().facts(), "centralise": True}


@pytest.mark.parametrize("name", RECIPES)
def test_the_shipped_recipes_are_valid(name):
    assert load_recipe(name).epochs >= 20


def test_a_recipe_is_found_by_its_name_or_its_path(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    folder = Path(nas.train.recipe.__file__).parent / "recipes"
    assert {path.name for path in folder.iterdir()} == {f"{name}.yaml" for name in RECIPES}
    (tmp_path / "imagewoof").write_text("epochs: 3\n", encoding="utf-8")
    assert load_recipe("imagewoof").optimiser == "ranger"
    assert "imagewoof is the built-in recipe, not the file of this name here" in caplog.text
    assert load_recipe("./imagewoof").epochs == 3
    (tmp_path / "mine").write_text("epochs: 4\n", encoding="utf-8")
    assert load_recipe("mine").epochs == 4
    with pytest.raises(DocumentError, match=r"unknown recipe 'imagewof' \(did you mean 'imagewoof"):
        load_recipe("imagewof")
    with pytest.raises(DocumentError, match=r"absent\.yaml"):
        load_recipe("absent.yaml")


@pytest.mark.parametrize(
    ("warmup", "total", "expected"),
    [
        (0.0, 4, [2.0, 2.0, 2.0, 2.0]),
        (0.25, 4, [2.0, 2.0, 2.0, 2.0]),
        (0.5, 4, [1.0, 2.0, 2.0, 2.0]),
        (0.7, 4, [2 / 3, 4 / 3, 2.0, 2.0]),
        (1.0, 4, [0.5, 1.0, 1.5, 2.0]),
    ],
)
def test_the_rate_warms_up_in_equal_steps(warmup, total, expected):
    recipe = Recipe(learning_rate=2.0, warmup=warmup, schedule="constant")
    assert [recipe.rate(step, total, 2) for step in range(total)] == pytest.approx(expected)


def test_the_exponential_schedule_counts_its_epochs_from_the_start():
    """Half every two epochs of three steps, after two steps of warm-up."""
    recipe = Recipe(
        learning_rate=8.0, warmup=0.1, schedule="exponential", decay=0.5, decay_epochs=2
    )
    rates = [recipe.rate(step, 20, 3) for step in range(20)]
    assert rates == [4.0, 8.0] + [8.0] * 4 + [4.0] * 6 + [2.0] * 6 + [1.0] * 2


def test_a_training_of_one_step_has_a_rate():
    assert Recipe(learning_rate=0.5, warmup=0.0).rate(0, 1, 1) == 0.5
    assert Recipe(learning_rate=0.5, warmup=1.0).rate(0, 1, 1) == 0.5


def test_the_defaults_stay_since_scores_rest_on_them():
    """Scores of earlier versions could not be compared otherwise: say so in the changelog."""
    assert dataclasses.asdict(Recipe()) == {
        "epochs": 3,
        "batch_size": 16,
        "optimiser": "sgd",
        "learning_rate": 0.06,
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "schedule": "cosine",
        "decay": 0.97,
        "decay_epochs": 2.4,
        "warmup": 0.2,
        "flat": 0.0,
        "label_smoothing": 0.1,
        "clip": 0.0,
        "centralise": False,
        "ema": 0.0,
        "sam": 0.0,
        "dropout": 0.0,
        "drop_path": 0.0,
        "zero_residuals": True,
        "shift": 0.1,
        "crop": 1.0,
        "flip": False,
        "randaugment": 0,
        "randaugment_ops": 2,
        "erasing": 0.0,
        "mixup": 0.0,
        "cutmix": 0.0,
        "normalisation": "data",
        "distill": 0.5,
        "temperature": 2.0,
    }


@pytest.mark.parametrize(
    ("name", "allowed", "refused"),
    [
        ("epochs", [0.01], [0]),
        ("batch_size", [2], [1]),
        ("learning_rate", [1e-9], [0]),
        ("momentum", [0, 0.999], [-0.1, 1]),
        ("weight_decay", [0], [-1e-9]),
        ("decay", [1, 0.01], [0, 1.01]),
        ("decay_epochs", [0.1], [0]),
        ("warmup", [0, 1], [-0.01, 1.01]),
        ("flat", [0, 1], [-0.01, 1.01]),
        ("label_smoothing", [0, 0.99], [-0.01, 1]),
        ("clip", [0], [-1]),
        ("ema", [0, 0.9999], [-0.1, 1]),
        ("sam", [0], [-0.1]),
        ("dropout", [0, 0.99], [-0.1, 1]),
        ("drop_path", [0, 0.99], [-0.1, 1]),
        ("shift", [0, 0.99], [-0.1, 1]),
        ("crop", [1, 0.01], [0, 1.01]),
        ("randaugment", [0, 30], [-1, 31]),
        ("randaugment_ops", [1, 8], [0, 9]),
        ("erasing", [0, 1], [-0.1, 1.1]),
        ("mixup", [0], [-0.1]),
        ("cutmix", [0], [-0.1]),
        ("distill", [0, 1], [-0.1, 1.1]),
        ("temperature", [0.01], [0]),
    ],
)
def test_the_bounds_of_every_value(name, allowed, refused):
    for value in allowed:
        assert getattr(Recipe().replace(**{name: value}), name) == value
    for value in refused:
        with pytest.raises(ValidationError, match=name):
            Recipe().replace(**{name: value})


def test_settings_are_everything_but_the_epochs():
    settings = Recipe(epochs=7, ema=0.5).settings()
    assert settings.keys() == dataclasses.asdict(Recipe()).keys() - {"epochs"}
    assert settings["ema"] == 0.5


GIVEN = ((0.5, 0.4, 0.3), (0.25, 0.25, 0.5))


def test_images_are_normalised_by_name_or_by_given_statistics(tmp_path):
    assert Recipe(normalisation=[list(channels) for channels in GIVEN]).normalisation == GIVEN
    path = tmp_path / "recipe.yaml"
    path.write_text("normalisation: [[0.5, 0.4, 0.3], [0.25, 0.25, 0.5]]")
    assert load_recipe(str(path)).normalisation == GIVEN
    path.write_text("normalisation: imagnet")
    told = r"normalisation: unknown normalization 'imagnet' \(did you mean 'imagenet'.*\[\[0.5, 0.5"
    with pytest.raises(DocumentError, match=told) as caught:
        load_recipe(str(path))
    assert "\n" not in str(caught.value)
    for wrong in ([0.5, 0.5], [[0.5], [0.5]], [GIVEN[0], [1, 1, "x"]], [GIVEN[0]], 3):
        with pytest.raises(ValidationError, match="give mean and standard deviation of three"):
            Recipe(normalisation=wrong)
    with pytest.raises(ValidationError, match=r"must be positive; found \(0\.0, "):
        Recipe(normalisation=[GIVEN[0], [0, 1, 1]])
