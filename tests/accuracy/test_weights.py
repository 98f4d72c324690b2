import subprocess
import sys

import pytest
import torch
import yaml
from rich.console import Console
from safetensors.torch import save_file

from nas.accuracy.weights import find_weights
from nas.errors import MixnasError
from nas.torch_model import build
from nas.train.components import open_training
from nas.train.placement import Placement
from nas.train.recipe import Recipe
from nas.train.settings import TrainingSettings
from tests.accuracy.supernet.running import write_run
from tests.networks import TINY


def test_a_file_in_the_folder_of_a_training_names_its_data(tmp_path):
    save_file(build(TINY, 1).state_dict(), tmp_path / "weights.safetensors")
    path = str(tmp_path / "weights.safetensors")
    found = find_weights(path, TINY)
    assert (found.source, found.metadata, found.data, found.judge) == (path, None, None, None)
    settings = {"network": "tiny", "data": "pets", "recipe": {}, "images_per_class": 7}
    (tmp_path / "training.yaml").write_text(yaml.safe_dump(settings))
    found = find_weights(path, TINY)
    assert (found.data, found.images_per_class) == ("pets", 7)


def test_timms_weights_are_found_by_name(stand_in_for_timm):
    found = find_weights("timm:resnet18", None)
    assert found.source == "timm:resnet18"
    assert found.metadata is None
    assert all(isinstance(tensor, torch.Tensor) for tensor in found.tensors.values())


def test_timms_networks_take_no_weights_of_a_supernet(tmp_path):
    with pytest.raises(MixnasError, match=r"supernet:runs/pets: .* own space, not for timm's"):
        find_weights("supernet:runs/pets", None)


def test_a_training_starts_from_the_slice(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path / "cache"))
    _, spec = write_run(tmp_path / "run", monkeypatch)
    name = f"supernet:{tmp_path / 'run'}"
    training = open_training(
        path=tmp_path / "training",
        settings=TrainingSettings(
            network=str(tmp_path / "run" / "best.yaml"),
            recipe=Recipe(epochs=1, batch_size=64),
            resolution=16,
            weights=name,
        ),
        open_placement=lambda resolution: Placement(),
        workers=0,
        new=True,
        console=Console(quiet=True),
        find_weights=find_weights,
    )
    started = training.trainer.model.state_dict()
    weights = find_weights(name, spec)
    assert started.keys() == weights.tensors.keys()
    assert all(torch.equal(started[key], tensor) for key, tensor in weights.tensors.items())


def test_neither_ray_nor_a_study_is_imported_for_a_slice():
    program = (
        "import sys, nas.accuracy.supernet.runs, nas.accuracy.weights\n"
        "sys.exit(any(name in sys.modules for name in ('ray', 'optuna', 'sqlalchemy')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
