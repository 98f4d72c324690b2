import dataclasses
import io

import pytest
import torch
import yaml
from rich.console import Console
from safetensors.torch import save_file

from nas.accuracy.weights import find_weights
from nas.data import load_data
from nas.errors import MixnasError
from nas.spec import load_network
from nas.torch_model import build
from nas.train.components import _open_network, open_training
from nas.train.placement import Placement
from nas.train.recipe import Recipe
from nas.train.settings import NETWORK, SETTINGS, TrainingSettings, read_training_settings
from tests.data.writing import write_folder
from tests.networks import TINY

RECIPE = Recipe(epochs=1, batch_size=64)


def opened(path, settings, new=True):
    return open_training(
        path=path,
        settings=settings,
        open_placement=lambda resolution: Placement(),
        workers=0,
        new=new,
        console=Console(quiet=True),
        find_weights=find_weights,
    )


@pytest.fixture
def settings(saved):
    return TrainingSettings(network=saved, recipe=RECIPE, resolution=16, seed=3)


def test_a_new_folder_holds_settings_and_network(tmp_path, settings):
    training = opened(tmp_path / "a" / "run", settings)
    assert read_training_settings(tmp_path / "a" / "run") == settings
    spec = load_network(str(tmp_path / "a" / "run" / NETWORK))
    assert (spec.input.resolution, spec.num_classes) == (16, 10)
    assert training.costs["params"] == sum(p.numel() for p in training.model.module.parameters())
    assert (training.trainer.seed, training.trainer.total) == (3, 16)  # 1,077 images by 64
    assert training.about["network"] == spec.digest()
    assert training.about["data"] == "e5f8c33fd2d9f787"


def test_a_folder_in_use_is_refused(tmp_path, settings):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").touch()
    with pytest.raises(MixnasError, match="run already exists; resume it with --resume, or choose"):
        opened(tmp_path / "run", settings)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["mine.txt"]
    training = opened(tmp_path / "other", settings)
    with pytest.raises(MixnasError, match=r"another process is working in .*other"):
        opened(tmp_path / "other", settings, new=False)
    assert training.rows == []


def test_a_mistake_leaves_no_folder(tmp_path, saved):
    with pytest.raises(MixnasError, match="unknown teacher 'mixnet_m'"):
        opened(tmp_path / "run", TrainingSettings(network=saved, teacher="mixnet_m"))
    assert not (tmp_path / "run").exists()


def test_a_resumed_training_has_its_own_copy_of_the_network(tmp_path, settings):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / SETTINGS).write_text(yaml.safe_dump({"network": settings.network}))
    TINY.replace(name="copied").save(tmp_path / "run" / NETWORK)
    assert opened(tmp_path / "run", settings, new=False).model.name == "copied"


def test_a_new_training_takes_the_network_that_was_named(tmp_path, settings):
    training = opened(tmp_path / "run", settings)
    assert training.model.name == "tiny"
    TINY.replace(name="copied").save(tmp_path / NETWORK)
    assert _open_network(tmp_path, settings, 10, new=True).name == "tiny"
    assert _open_network(tmp_path, settings, 10, new=False).name == "copied"


def test_weights_to_start_from_are_kept(tmp_path, settings, saved):
    weights = build(TINY, 9).state_dict()
    save_file(weights, tmp_path / "w.safetensors")
    started = TrainingSettings(
        network=saved, recipe=RECIPE, resolution=16, weights=str(tmp_path / "w.safetensors")
    )
    trainer = opened(tmp_path / "run", started).trainer
    state = trainer.model.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in weights.items())
    assert not trainer.recipe.zero_residuals
    assert opened(tmp_path / "plain", settings).trainer.recipe.zero_residuals


def test_what_travels_with_the_weights_is_known(tmp_path, settings):
    begun = dataclasses.replace(settings, command="python -m nas.train tiny.yaml")
    training = opened(tmp_path / "run", begun)
    metadata = training.metadata
    mean, std = load_data("digits").at(16).statistics()
    assert metadata.classes == tuple("0123456789")
    assert metadata.preprocessing.resolution == 16
    assert metadata.preprocessing.mean == pytest.approx(mean.tolist())
    assert metadata.preprocessing.std == pytest.approx(std.tolist())
    assert metadata.preprocessing.crop == "whole image"
    assert metadata.network() == training.model.spec
    assert metadata.data_fingerprint == "e5f8c33fd2d9f787"
    assert metadata.test_fingerprint == load_data("digits").test_fingerprint()
    assert (metadata.data, metadata.command) == ("digits", "python -m nas.train tiny.yaml")
    resumed = dataclasses.replace(read_training_settings(tmp_path / "run"))
    assert resumed.command == "python -m nas.train tiny.yaml"
    assert "command" not in training.about  # a checkpoint fits whatever it was started by


def test_photographs_are_cut_to_their_central_square(tmp_path, saved):
    root = write_folder(tmp_path / "pets")
    settings = TrainingSettings(network=saved, data=str(root), recipe=RECIPE, resolution=16)
    metadata = opened(tmp_path / "run", settings).metadata
    assert metadata.classes == ("ant", "bee", "cat")
    assert metadata.preprocessing.crop == "central square of the upright image"


def test_weights_of_another_order_of_classes_are_told(tmp_path, settings):
    first = opened(tmp_path / "run", settings)
    metadata = dataclasses.replace(first.metadata, classes=tuple("9876543210"))
    state = {n: tensor.contiguous() for n, tensor in first.model.module.state_dict().items()}
    save_file(state, tmp_path / "w.safetensors", metadata.to_properties())
    started = dataclasses.replace(settings, weights=str(tmp_path / "w.safetensors"))
    console = Console(file=io.StringIO(), width=500)
    second = open_training(
        path=tmp_path / "second",
        settings=started,
        open_placement=lambda resolution: Placement(),
        workers=0,
        new=True,
        console=console,
        find_weights=find_weights,
    )
    assert "its classes were brought into the order of this data set" in console.file.getvalue()
    assert "digits: 10 classes" in console.file.getvalue()
    weight = second.trainer.model.state_dict()["classifier.weight"]
    assert torch.equal(weight, state["classifier.weight"].flip(0))


def test_checkpoints_stand_that_are_older_than_some_settings(tmp_path, settings):
    """What came later is not compared where it has no effect."""
    training = opened(tmp_path / "run", settings)
    assert training.about["recipe"].keys() == dataclasses.asdict(Recipe()).keys() - {
        "flat", "centralise",
    }  # fmt: skip
    assert training.about["activation"] is None  # as if it were missing
    used = dataclasses.replace(settings, recipe=RECIPE.replace(flat=0.5), activation="mish")
    about = opened(tmp_path / "other", used).about
    assert (about["recipe"]["flat"], about["activation"]) == (0.5, "mish")
    assert about["network"] != training.about["network"]
