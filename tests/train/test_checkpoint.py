import pytest
import torch

from nas.errors import MixnasError
from nas.train.checkpoint import load_checkpoint, save_checkpoint
from nas.train.recipe import Recipe
from tests.networks import trainer

ABOUT = {"network": "tiny", "seed": 0}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"ema": 0.99},
        {"optimiser": "rmsprop", "learning_rate": 0.01},
        {"optimiser": "adamw", "learning_rate": 0.01},
        {"optimiser": "ranger", "learning_rate": 0.01},
        {"sam": 0.05},
        {"mixup": 0.2, "cutmix": 1.0, "flip": True, "randaugment": 9, "dropout": 0.2},
    ],
    ids=lambda changes: "+".join(changes) or "plain",
)
def test_a_restored_training_ends_with_the_same_bits(tmp_path, changes):
    recipe = Recipe(epochs=1.5, **changes)
    whole = trainer(recipe)
    for _ in whole.steps():
        pass
    begun = trainer(recipe)
    for _ in begun.steps(41):
        pass
    save_checkpoint(begun, tmp_path / "c.safetensors", ABOUT)
    resumed = trainer(recipe)
    load_checkpoint(resumed, tmp_path / "c.safetensors", ABOUT)
    assert resumed.step == 41
    for _ in resumed.steps():
        pass
    assert resumed.losses == whole.losses
    kept, expected = resumed.best_model.state_dict(), whole.best_model.state_dict()
    assert all(torch.equal(kept[name], expected[name]) for name in expected)


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    save_checkpoint(trainer(Recipe()), tmp_path / "c.safetensors", ABOUT)
    with pytest.raises(MixnasError, match="its seed was 0, and is 1 now"):
        load_checkpoint(trainer(Recipe()), tmp_path / "c.safetensors", {**ABOUT, "seed": 1})


def test_a_damaged_checkpoint_is_refused(tmp_path):
    path = tmp_path / "c.safetensors"
    save_checkpoint(trainer(Recipe()), path, ABOUT)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(MixnasError, match="cannot be gone on with"):
        load_checkpoint(trainer(Recipe()), path, ABOUT)


def test_a_failed_writing_leaves_the_earlier_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "c.safetensors"
    save_checkpoint(trainer(Recipe()), path, ABOUT)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(trainer(Recipe()), path, ABOUT)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["c.safetensors"]
