"""Networks as folders in the layout of the Hugging Face hub."""

import json
import subprocess
import sys

import pytest
import torch
import yaml

from nas.errors import MixnasError
from nas.formats.metadata import ModelMetadata, Preprocessing
from nas.integrations import from_pretrained, read_card, save_pretrained
from nas.spec import Input, load_network
from nas.torch_model import build

SPEC = load_network("mobilenet_v2").replace(
    input=Input(resolution=32), num_classes=2, name="cats_and_dogs"
)
METADATA = ModelMetadata(
    ("cat", "dog\x1b[2J"),
    Preprocessing(32, (0.5, 0.4, 0.3), (0.2, 0.2, 0.1)),
    data="pets",
    spec=SPEC.to_dict(),
)


@pytest.fixture
def folder(tmp_path):
    return save_pretrained(build(SPEC, seed=1), tmp_path / "net", METADATA)


def test_a_network_comes_back_with_its_weights(folder):
    model = from_pretrained(folder)
    assert model.spec == SPEC
    assert not model.training
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(model(images), build(SPEC, seed=1).eval()(images))
    assert read_card(folder) == METADATA


def test_the_folder_has_the_files_of_the_hub(folder):
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md", "config.json", "model.safetensors",
    ]  # fmt: skip
    config = json.loads((folder / "config.json").read_text())
    assert config["library_name"] == "mixnas"
    assert config["label_names"] == list(METADATA.classes)
    front, text = (folder / "README.md").read_text().removeprefix("---\n").split("---\n", 1)
    assert yaml.safe_load(front)["library_name"] == "mixnas"
    assert "2.23M parameters" in text
    assert "mean (0.5000, 0.4000, 0.3000)" in text
    assert "\x1b" not in text


def test_the_hub_s_own_reader_takes_the_weights(folder):
    hub = pytest.importorskip("huggingface_hub")
    state = hub.load_state_dict_from_file(folder / "model.safetensors")
    assert state.keys() == build(SPEC).state_dict().keys()


def test_a_network_without_metadata(tmp_path):
    save_pretrained(build(SPEC, seed=1), tmp_path)
    save_pretrained(build(SPEC, seed=2), tmp_path)  # replaces the first
    assert read_card(tmp_path) is None
    state = from_pretrained(tmp_path).state_dict()
    assert torch.equal(state["classifier.weight"], build(SPEC, seed=2).classifier.weight)


def test_metadata_of_other_classes_are_refused(tmp_path):
    with pytest.raises(MixnasError, match="the network has 1000 classes, its metadata 2"):
        save_pretrained(build(load_network("mobilenet_v2")), tmp_path / "net", METADATA)
    assert not (tmp_path / "net").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "no such file; give a folder that save_pretrained wrote"),
        ("{", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ("[]", "not a network of mixnas"),
        ('{"library_name": "timm"}', "not a network of mixnas"),
        ('{"library_name": "mixnas"}', "'spec' is missing"),
        ('{"library_name": "mixnas", "spec": {"stem": 1}}', "config.json"),
        (" " * (1 << 22) + "{}", "larger than 4,194,304 bytes"),
    ],
)
def test_damaged_folders_are_refused(folder, text, words):
    path = folder / "config.json"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(MixnasError, match=words):
        from_pretrained(folder)


def test_weights_of_another_network_are_refused(folder, tmp_path):
    other = save_pretrained(build(SPEC.replace(num_classes=3)), tmp_path / "other")
    (other / "model.safetensors").replace(folder / "model.safetensors")
    with pytest.raises(MixnasError, match="belong to another network"):
        from_pretrained(folder)


def test_reading_needs_no_connection_and_no_hub(folder):
    code = (
        "import sys; sys.modules['huggingface_hub'] = None\n"
        f"from nas.integrations import from_pretrained; from_pretrained({str(folder)!r})"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
