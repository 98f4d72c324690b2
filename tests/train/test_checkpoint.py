import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from nas.errors import MixnasError
from nas.train.checkpoint import Checkpointer, load_checkpoint, save_checkpoint, save_weights
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
        {"optimiser": "ranger", "learning_rate": 0.01, "centralise": True, "flat": 0.5},
        {"optimiser": "lion", "learning_rate": 0.001},
        {"sam": 0.05},
        {"sam": 0.05, "optimiser": "ranger", "learning_rate": 0.01},
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
    kept, expected = resumed.evaluated_model.state_dict(), whole.evaluated_model.state_dict()
    assert all(torch.equal(kept[name], expected[name]) for name in expected)


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    save_checkpoint(trainer(Recipe()), tmp_path / "c.safetensors", ABOUT)
    with pytest.raises(MixnasError, match="another training run: seed was 0, but is 1 now"):
        load_checkpoint(trainer(Recipe()), tmp_path / "c.safetensors", {**ABOUT, "seed": 1})


def test_what_identifies_a_training_is_compared_as_json_has_it(tmp_path):
    """Statistics of a recipe are tuples, which JSON does not have."""
    about = {**ABOUT, "recipe": {"normalisation": ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))}}
    save_checkpoint(trainer(Recipe()), tmp_path / "c.safetensors", about)
    load_checkpoint(trainer(Recipe()), tmp_path / "c.safetensors", about)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    path = tmp_path / "c.safetensors"
    save_checkpoint(trainer(Recipe()), path, ABOUT)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(MixnasError, match="cannot be resumed"):
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


def test_checkpoints_are_saved_at_intervals_and_after_epochs(tmp_path, monkeypatch):
    now = 100.0
    monkeypatch.setattr("nas.train.checkpoint.time.monotonic", lambda: now)
    path = tmp_path / "c.safetensors"
    running = trainer(Recipe())
    checkpointer = Checkpointer(running, path, ABOUT, interval=30.0)

    def saved():
        there = path.exists()
        path.unlink(missing_ok=True)
        return there

    now = 130.0
    checkpointer.save_if_due()
    assert not saved()
    now = 130.5
    checkpointer.save_if_due()
    assert saved()
    now = 160.0
    checkpointer.save_if_due()
    assert not saved()
    checkpointer.save_if_due(epoch_ended=True)
    assert saved()
    now = 190.0  # 30 seconds after the epoch
    checkpointer.save_if_due()
    assert not saved()
    now = 191.0
    running.placement.rank = 1
    checkpointer.save_if_due()
    assert not saved()  # another process writes


def test_other_files_are_no_checkpoints(tmp_path):
    path = tmp_path / "c.safetensors"
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(MixnasError, match=r"safetensors is not the checkpoint of a training run"):
        load_checkpoint(trainer(Recipe()), path, ABOUT)
    with pytest.raises(MixnasError, match=r"none cannot be resumed .*start a new training"):
        load_checkpoint(trainer(Recipe()), tmp_path / "none", ABOUT)


def test_state_that_is_no_tensor_is_refused(tmp_path):
    running = trainer(Recipe())
    weights = next(running.model.parameters())
    running.optimiser.state[weights]["history"] = [1, 2]
    with pytest.raises(MixnasError, match=r"'sgd' cannot be saved \('history' is not a tensor\)"):
        save_checkpoint(running, tmp_path / "c.safetensors", ABOUT)


def test_weights_are_saved_with_what_they_are(tmp_path):
    layer = torch.nn.BatchNorm2d(2)
    save_weights(layer, tmp_path / "w.safetensors", {"network": "norm"})
    with safe_open(tmp_path / "w.safetensors", "pt") as file:
        assert file.metadata() == {"network": "norm"}
        assert set(file.keys()) == set(layer.state_dict())
        assert file.get_tensor("running_var").tolist() == [1, 1]
