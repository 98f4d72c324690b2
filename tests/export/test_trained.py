import dataclasses

import pytest
import torch
import yaml
from safetensors.torch import save_file

from nas.data import load_data
from nas.errors import MixnasError
from nas.export.trained import TrainedModel, find_trained, images_for
from nas.spec import Input
from nas.torch_model import build
from tests.data.writing import write_folder
from tests.formats.test_metadata import METADATA
from tests.networks import TINY

SMALL = TINY.replace(num_classes=2, input=Input(resolution=32))
OURS = dataclasses.replace(METADATA, spec=SMALL.to_dict())


@pytest.fixture
def folder(tmp_path):
    """The folder of a training that has ended."""
    run = tmp_path / "run"
    run.mkdir()
    SMALL.save(run / "network.yaml")
    save_file(build(SMALL, 1).state_dict(), run / "weights.safetensors", OURS.to_properties())
    pets = write_folder(tmp_path / "pets", classes=("bee", "ant"))
    (run / "training.yaml").write_text(
        yaml.safe_dump({"network": "tiny", "data": str(pets), "recipe": {}})
    )
    return run


def test_the_folder_of_a_training_has_it_all(folder):
    found = find_trained(str(folder))
    assert (found.spec, found.weights.source) == (SMALL, str(folder / "weights.safetensors"))
    assert found.metadata == OURS
    assert found.data == str(folder.parent / "pets")
    assert found.remarks == ()


def test_weights_tell_what_they_were_trained_as(folder, tmp_path):
    TINY.save(tmp_path / "tiny.yaml")
    found = find_trained(str(tmp_path / "tiny.yaml"), str(folder / "weights.safetensors"))
    assert (found.spec, found.metadata) == (SMALL, OURS)
    assert found.remarks == (
        f"exported as it was trained: 2 classes, 32 px ({tmp_path}/tiny.yaml has 10 classes, 224 "
        "px)",
    )


def test_weights_of_another_network_are_refused_although_their_shapes_agree(folder, tmp_path):
    stem = dataclasses.replace(SMALL.stem, activation="swish")
    SMALL.replace(stem=stem).save(tmp_path / "other.yaml")
    with pytest.raises(
        MixnasError, match="the weights belong to another network, 'tiny'; give its"
    ):
        find_trained(str(tmp_path / "other.yaml"), str(folder / "weights.safetensors"))


def test_weights_of_earlier_versions_are_told(folder, tmp_path):
    save_file(build(SMALL, 1).state_dict(), tmp_path / "w.safetensors")
    found = find_trained(str(folder), str(tmp_path / "w.safetensors"))
    assert found.metadata is None
    assert "does not say its classes and how images are prepared" in found.remarks[0]


def test_folders_of_no_ended_training_are_refused(folder, tmp_path):
    (folder / "weights.safetensors").unlink()
    with pytest.raises(MixnasError, match=r"the training in .*run has not ended: there is no"):
        find_trained(str(folder))
    with pytest.raises(
        MixnasError, match=r"is not the folder of a training run: it has no network"
    ):
        find_trained(str(tmp_path / "pets"))


def test_weights_that_are_named_and_missing_say_nothing_of_the_training(folder):
    with pytest.raises(MixnasError, match=r"^none\.safetensors: no such file; give a"):
        find_trained(str(folder), "none.safetensors")


def test_weights_are_no_network(folder):
    weights = folder / "weights.safetensors"
    with pytest.raises(MixnasError, match=r"is a file of weights; give the folder .* --weights /"):
        find_trained(str(weights))


def test_a_folder_does_not_take_the_place_of_a_reference_network(tmp_path, monkeypatch):
    (tmp_path / "mixnet_s").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_trained("mixnet_s").spec.name == "mixnet_s"


def test_images_are_those_of_the_training_prepared_as_for_it(folder):
    found = find_trained(str(folder))
    images, name = images_for(found, 4)
    assert (name, images.shape) == (found.data, (4, 3, 32, 32))
    bees = images[(images[:, 0, 0, 0] * 0.25 + 0.5 - 10 / 255).abs() < 1e-6]
    assert len(bees) == 2  # red of 10 in 255, in images of class 0
    (folder / "training.yaml").write_text(
        yaml.safe_dump({"network": "tiny", "data": "elsewhere/pets", "recipe": {}})
    )
    images, name = images_for(find_trained(str(folder)), 4)
    assert name == "digits"
    assert images.shape == (4, 3, 32, 32)


def test_images_of_a_network_without_metadata_are_normalized_by_themselves():
    images, name = images_for(TrainedModel(SMALL), 16)
    assert name == "digits"
    assert torch.allclose(images.mean((0, 2, 3)), torch.zeros(3), atol=1e-5)
    gray = SMALL.replace(input=Input(channels=1, resolution=32))
    assert images_for(TrainedModel(gray), 16) is None
    assert load_data("digits").count("validation") >= 16
