import dataclasses

import pytest
import torch
from safetensors.torch import save_file

from nas.errors import MixnasError
from nas.formats.metadata import ModelMetadata, Preprocessing
from nas.spec import Input, load_network
from nas.torch_model import TrainedWeights, read_trained
from nas.train.models import (
    _preprocessing,
    compare_metadata,
    load_initial_weights,
    open_model,
    timm_weights,
)
from nas.train.recipe import Recipe
from tests.networks import TINY


def test_a_network_is_built_for_the_data(saved):
    model = open_model(saved, 7, Recipe(dropout=0.3), 0, resolution=48)
    assert model.module(torch.zeros(2, 3, 48, 48)).shape == (2, 7)
    assert (model.name, model.resolution, model.spec.input.resolution) == ("tiny", 48, 48)
    assert model.module.classifier.dropout == 0.3
    assert model.costs()["params"] == sum(p.numel() for p in model.module.parameters())


def test_its_activation_functions_are_replaced_where_it_is_built(saved):
    model = open_model(saved, 7, Recipe(), 0, activation="mish")
    kinds = {type(module).__name__ for module in model.module.modules()}
    assert "Mish" in kinds
    assert "ReLU" not in kinds
    assert model.spec.blocks[0].activation == "mish"


def test_those_of_timms_networks_are_not(timm):
    with pytest.raises(MixnasError, match="activation functions of timm:resnet18 cannot be"):
        open_model("timm:resnet18", 5, Recipe(), 0, activation="mish")


def test_a_seed_gives_the_weights(saved):
    one, two, other = (open_model(saved, 10, Recipe(), seed) for seed in (1, 1, 2))
    weights = [model.module.classifier.weight for model in (one, two, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_weights_to_start_from_may_have_other_classes(saved, tmp_path):
    taught = open_model(saved, 10, Recipe(), 1).module.state_dict()
    save_file(taught, tmp_path / "w.safetensors")
    model = open_model(saved, 10, Recipe(), 0)
    assert load_initial_weights(model, read_trained(tmp_path / "w.safetensors")).startswith(
        "loaded the weights of"
    )
    assert torch.equal(model.module.classifier.weight, taught["classifier.weight"])
    other = open_model(saved, 3, Recipe(), 0)
    said = load_initial_weights(other, read_trained(tmp_path / "w.safetensors"))
    assert "the classifier starts from random weights" in said
    assert torch.equal(other.module.stem.conv.weight, taught["stem.conv.weight"])
    assert other.module.classifier.weight.shape == (3, 64)


def test_weights_of_another_network_are_refused(saved, tmp_path):
    save_file({"stem.conv.weight": torch.zeros(1)}, tmp_path / "w.safetensors")
    model = open_model(saved, 10, Recipe(), 0)
    with pytest.raises(MixnasError, match=r"'stem.conv.weight' is \(1,\), expected"):
        load_initial_weights(model, read_trained(tmp_path / "w.safetensors"))
    save_file({"other": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(MixnasError, match=r"'classifier\.bias' is missing"):
        load_initial_weights(model, read_trained(tmp_path / "w.safetensors"))
    with pytest.raises(MixnasError, match="no such file"):
        load_initial_weights(model, read_trained(tmp_path / "missing.safetensors"))


def test_timms_networks_are_built_by_name(timm):
    model = open_model("timm:resnet18", 5, Recipe(), 0)
    assert model.module(torch.zeros(1, 3, 32, 32)).shape == (1, 5)
    assert (model.spec, model.resolution) == (None, 160)
    assert model.costs() == {"params": 4 * 27 + 4 + 5 * 4 + 5, "madds": 158 * 158 * 4 * 27 + 20}
    with pytest.raises(MixnasError, match="timm has no network 'resnt'; similar names: resnet18"):
        open_model("timm:resnt", 5, Recipe(), 0)


def test_weights_without_a_place_are_refused(saved, tmp_path):
    model = open_model(saved, 10, Recipe(), 0)
    before = model.module.classifier.weight.detach().clone()
    state = {name: tensor + 1 for name, tensor in model.module.state_dict().items()}
    save_file({**state, "extra": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(MixnasError, match="does not fit tiny: the network has no weights 'extra'"):
        load_initial_weights(model, read_trained(tmp_path / "w.safetensors"))
    assert torch.equal(model.module.classifier.weight, before)


def test_networks_for_gray_images_are_refused(tmp_path):
    TINY.replace(input=Input(channels=1)).save(tmp_path / "gray.yaml")
    with pytest.raises(MixnasError, match="takes images of 1 channels; the data has 3"):
        open_model(str(tmp_path / "gray.yaml"), 10, Recipe(), 0)


def test_timms_weights_may_have_other_classes(timm):
    model = open_model("timm:resnet18", 5, Recipe(), 0)
    model.module.pretrained_cfg["classifier"] = "3"  # the linear layer of the stand-in
    before = model.module[3].weight.detach().clone()
    said = load_initial_weights(model, timm_weights("timm:resnet18", None))
    assert said.startswith("loaded the weights of timm:resnet18; the classifier starts from random")
    assert torch.equal(model.module[3].weight, before)


def test_weights_that_timm_lays_out_otherwise_are_refused_before_the_download(monkeypatch):
    monkeypatch.setattr("nas.train.models.timm_module", None)
    with pytest.raises(MixnasError, match=r"networks of mbconv, dsconv and conv blocks"):
        timm_weights("timm:resnet18", load_network("resnet_18"))


def test_timms_weights_tell_how_images_were_prepared(timm):
    prepared = timm_weights("timm:resnet18", None).preprocessing
    assert (prepared.resolution, prepared.mean, prepared.std) == (160, (0.5,) * 3, (0.5,) * 3)
    assert _preprocessing({}) is None
    told = {"input_size": (3, 224, 224), "mean": (0.5,) * 3, "std": (0.25,) * 3}
    found = _preprocessing({**told, "crop_pct": 0.875, "interpolation": "bicubic"})
    assert found.crop == "central square of the upright image, 87.5% of its side"
    assert found.interpolation == "bicubic"


def test_a_network_that_does_not_take_the_size_says_so(timm):
    with pytest.raises(MixnasError, match="resnet18 does not accept images of 2 px"):
        open_model("timm:resnet18", 5, Recipe(), 0, resolution=2)


def test_all_layers_that_depend_on_the_classes_start_anew(timm):
    model = open_model("timm:vit_small", 5, Recipe(), 0)
    before = model.module.head.weight.detach().clone()
    said = load_initial_weights(model, timm_weights("timm:vit_small", None))
    assert said.endswith("the classifier starts from random weights: its classes differ")
    assert torch.equal(model.module.head.weight, before)


def metadata(classes, spec=TINY, **changes):
    preprocessing = Preprocessing(16, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    preprocessing = dataclasses.replace(preprocessing, **changes)
    return ModelMetadata(tuple(classes), preprocessing, spec=spec.to_dict())


def test_a_classifier_is_brought_into_the_order_of_the_classes(saved, tmp_path):
    taught = open_model(saved, 3, Recipe(), 1).module.state_dict()
    about = metadata(["ant", "bee", "cat"]).to_properties()
    save_file(taught, tmp_path / "w.safetensors", about)
    model = open_model(saved, 3, Recipe(), 0)
    said = load_initial_weights(
        model, read_trained(tmp_path / "w.safetensors"), ("cat", "ant", "bee")
    )
    assert said.endswith("; its classes were brought into the order of this data set")
    for name in ("weight", "bias"):
        own = getattr(model.module.classifier, name)
        assert torch.equal(own, taught[f"classifier.{name}"][[2, 0, 1]])
    same = load_initial_weights(
        model, read_trained(tmp_path / "w.safetensors"), ("ant", "bee", "cat")
    )
    assert same == f"loaded the weights of {tmp_path / 'w.safetensors'}"
    assert torch.equal(model.module.classifier.weight, taught["classifier.weight"])


def test_a_classifier_of_other_classes_starts_anew_although_their_number_is_equal(saved, tmp_path):
    taught = open_model(saved, 3, Recipe(), 1).module.state_dict()
    save_file(taught, tmp_path / "w.safetensors", metadata("abc").to_properties())
    model = open_model(saved, 3, Recipe(), 0)
    before = model.module.classifier.weight.detach().clone()
    said = load_initial_weights(model, read_trained(tmp_path / "w.safetensors"), tuple("abd"))
    assert said.endswith("; the classifier starts from random weights: its classes differ")
    assert torch.equal(model.module.classifier.weight, before)
    assert torch.equal(model.module.stem.conv.weight, taught["stem.conv.weight"])


def test_how_weights_were_trained_differently_is_told(saved, tmp_path):
    path = tmp_path / "w.safetensors"
    model = open_model(saved, 3, Recipe(), 0, resolution=16)
    save_file(model.module.state_dict(), path, metadata("abc").to_properties())
    assert compare_metadata(read_trained(path), model, metadata("abc")) == []
    assert compare_metadata(read_trained(path), model, metadata("abc", mean=(0.1, 0.5, 0.5))) == [
        f"unlike for the weights of {path}: mean (0.100, 0.500, 0.500) instead of (0.500, 0.500, "
        "0.500)"
    ]
    other = TINY.replace(padding="same", name="other")
    save_file(model.module.state_dict(), path, metadata("abc", other).to_properties())
    assert compare_metadata(read_trained(path), model, metadata("abc")) == [
        f"the weights of {path} were trained in another network, 'other', whose layers have the "
        "same shapes"
    ]
    assert compare_metadata(TrainedWeights("timm:tiny", {}), model, metadata("abc")) == []
    prepared = dataclasses.replace(metadata("abc").preprocessing, crop="whole image, squeezed")
    of_timm = TrainedWeights("timm:tiny", {}, prepared=prepared)
    (told,) = compare_metadata(of_timm, model, metadata("abc"))
    assert told.startswith("unlike for the weights of timm:tiny: crop ")
    assert told.endswith(" instead of whole image, squeezed")
    save_file(model.module.state_dict(), path)
    assert compare_metadata(read_trained(path), model, metadata("abc")) == []


@pytest.mark.parametrize(
    ("now", "alarms"),
    [
        ({"data": "moved"}, False),
        ({"data_fingerprint": "a part"}, False),  # with --images-per-class, or more for training
        ({"test_fingerprint": "changed"}, True),
        ({"data": "moved", "test_fingerprint": "changed"}, True),
        ({"test_fingerprint": "others", "classes": ("x", "y", "z")}, False),
    ],
)
def test_fingerprints_decide_whether_test_images_may_have_been_trained_on(
    saved, tmp_path, now, alarms
):
    path = tmp_path / "w.safetensors"
    model = open_model(saved, 3, Recipe(), 0, resolution=16)
    known = {"data": "pets", "data_fingerprint": "all", "test_fingerprint": "test"}
    theirs = dataclasses.replace(metadata("abc"), **known)
    own = dataclasses.replace(theirs, **now)
    save_file(model.module.state_dict(), path, theirs.to_properties())
    remark = (
        f"{path} was trained on pets, which had the same classes as {own.data}, but other test "
        "images: if some images are in both, what is tested on may have been trained on"
    )
    assert compare_metadata(read_trained(path), model, own) == [remark] * alarms


def test_weights_of_an_earlier_version_are_compared_by_the_whole_data_set(saved, tmp_path):
    path = tmp_path / "w.safetensors"
    model = open_model(saved, 3, Recipe(), 0, resolution=16)
    own = dataclasses.replace(metadata("abc"), data_fingerprint="all", test_fingerprint="test")
    for known, alarms in (("all", 0), ("other", 1), ("", 0)):
        theirs = dataclasses.replace(own, data_fingerprint=known).to_properties()
        del theirs["test_fingerprint"]
        save_file(model.module.state_dict(), path, theirs)
        assert len(compare_metadata(read_trained(path), model, own)) == alarms
