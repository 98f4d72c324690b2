import subprocess
import sys

import pytest

from nas.errors import MixnasError
from nas.train.recipe import Recipe
from nas.train.settings import (
    DEFAULT_RECIPE,
    SETTINGS,
    TrainingSettings,
    chosen_recipe,
    read_training_settings,
)


def test_defaults_stand_in_one_place():
    settings = TrainingSettings(network="mixnet_s")
    assert (settings.data, settings.seed, settings.reading) == ("digits", 0, "auto")
    assert settings.recipe == DEFAULT_RECIPE
    assert settings.recipe == Recipe(epochs=30, batch_size=64, learning_rate=0.05, warmup=0.1)


def test_settings_are_read_from_the_folder_of_a_training(tmp_path):
    text = "network: mixnet_s\ndata: pets\nrecipe: {epochs: 4, optimiser: adamw}\nseed: 3\n"
    (tmp_path / SETTINGS).write_text(text, encoding="utf-8")
    assert read_training_settings(tmp_path) == TrainingSettings(
        network="mixnet_s", data="pets", recipe=Recipe(epochs=4, optimiser="adamw"), seed=3
    )


def test_other_folders_and_settings_are_refused(tmp_path):
    with pytest.raises(MixnasError, match=r"folder of a training run: it has no training\."):
        read_training_settings(tmp_path)
    (tmp_path / SETTINGS).write_text("network: mixnet_s\nreading: tape\n", encoding="utf-8")
    with pytest.raises(MixnasError, match=r"training\.yaml:2: reading: .*allowed: auto, memory"):
        read_training_settings(tmp_path)


def test_a_file_that_lost_its_data_set_does_not_become_another_training(tmp_path):
    (tmp_path / SETTINGS).write_text("network: mixnet_s\nrecipe: {epochs: 2}\n", encoding="utf-8")
    with pytest.raises(MixnasError, match=r"training\.yaml: missing keys: data; restore the file"):
        read_training_settings(tmp_path)


def test_help_shows_the_defaults_without_importing_torch():
    code = (
        "import sys, nas.train.__main__ as command\n"
        "from typer.testing import CliRunner\n"
        "print(CliRunner().invoke(command.app, ['--help'], terminal_width=200).output)\n"
        "print(sorted({'torch', 'pandas', 'matplotlib'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *shown, imported = done.stdout.splitlines()
    text = " ".join(" ".join(shown).split())
    assert "Data set, as for nas.search. [digits]" in text
    assert "[30 epochs of sgd]" in text
    assert "Random seed. [0]" in text
    assert "or auto. [auto]" in text
    assert imported == "[]"


def test_a_recipe_is_chosen_and_changed(tmp_path):
    assert chosen_recipe(None) == DEFAULT_RECIPE
    path = tmp_path / "mine.yaml"
    path.write_text("epochs: 40\nflip: true\n", encoding="utf-8")
    changes = ["epochs=2", "weight-decay = 0.5"]
    assert chosen_recipe(str(path), changes) == Recipe(epochs=2, flip=True, weight_decay=0.5)
    assert chosen_recipe(None, changes) == DEFAULT_RECIPE.replace(epochs=2, weight_decay=0.5)
    for change, said in (("epochs", "expected NAME=VALUE"), ("epochs=@", "is not valid YAML")):
        with pytest.raises(MixnasError, match=f"--set {change}: .*{said}"):
            chosen_recipe(None, [change])
