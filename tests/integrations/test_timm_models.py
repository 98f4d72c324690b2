"""Networks of ours as models and backbones of timm."""

import sys
import types

import pytest
import torch
from safetensors.torch import save_file

from nas.errors import MixnasError
from nas.integrations import timm_models
from nas.integrations.timm_models import Backbone, TimmStyleNetwork, maps_of, mixnas
from nas.spec import Input, load_network
from nas.torch_model import build

SPEC = load_network("mixnet_s").replace(input=Input(resolution=64), num_classes=7)
IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


class FeatureInfo:
    """As timm's, as far as it is used here."""

    def __init__(self, info, out_indices):
        self.info, self.out_indices = info, out_indices

    def channels(self):
        return [self.info[i]["num_chs"] for i in self.out_indices]

    def reduction(self):
        return [self.info[i]["reduction"] for i in self.out_indices]


@pytest.fixture(autouse=True)
def timm(monkeypatch, declared_operators):
    """The real timm if there is one, else something that registers models."""
    try:
        import timm
    except ImportError:
        registered = {}
        timm = types.ModuleType("timm")
        timm.models = types.ModuleType("timm.models")
        timm.models.FeatureInfo = FeatureInfo
        timm.models.is_model = lambda name: name in registered
        timm.models.register_model = lambda model: registered.update({model.__name__: model})
        timm.create_model = lambda name, **options: registered[name](
            pretrained_cfg=None, pretrained_cfg_overlay=None, cache_dir=None, **options
        )
        monkeypatch.setitem(sys.modules, "timm", timm)
        monkeypatch.setitem(sys.modules, "timm.models", timm.models)
    timm_models.register()
    return timm


@pytest.fixture
def files(tmp_path):
    SPEC.save(tmp_path / "best.yaml")
    save_file(build(SPEC, seed=3).state_dict(), tmp_path / "weights.safetensors")
    return {"spec": tmp_path / "best.yaml", "weights": tmp_path / "weights.safetensors"}


def test_timm_builds_the_network_with_its_weights(timm, files):
    model = timm.create_model("mixnas", **files).eval()
    expected = build(SPEC, seed=3).eval()(IMAGES)
    assert torch.equal(model(IMAGES), expected)
    assert torch.equal(model.forward_head(model.forward_features(IMAGES)), expected)
    assert model.forward_features(IMAGES).shape == (2, model.num_features, 2, 2)
    assert model.forward_head(model.forward_features(IMAGES), pre_logits=True).shape == (2, 1536)
    assert (model.num_classes, model.head_hidden_size) == (7, 1536)


def test_a_backbone_gives_a_map_for_each_reduction(timm, files):
    backbone = timm.create_model("mixnas", features_only=True, **files).eval()
    maps = backbone(IMAGES)
    assert backbone.feature_info.reduction() == [2, 4, 8, 16, 32]
    assert backbone.feature_info.channels() == [16, 24, 40, 120, 200]
    for one, channels, reduction in zip(
        maps, backbone.feature_info.channels(), backbone.feature_info.reduction(), strict=True
    ):
        assert one.shape == (2, channels, 64 // reduction, 64 // reduction)
    # The last of them is what the network's head sees.
    model = TimmStyleNetwork(SPEC, weights=files["weights"]).eval()
    assert torch.equal(model.head(maps[-1]), model.forward_features(IMAGES))


def test_a_backbone_ends_after_its_last_map(timm):
    whole = mixnas(spec=SPEC, features_only=True)
    short = mixnas(spec=SPEC, features_only=True, out_indices=(2, 1))
    assert [one.shape[2] for one in short(IMAGES)] == [8, 16]
    assert len(short.parts) < len(whole.parts)
    assert [
        one.shape[2] for one in mixnas(spec=SPEC, features_only=True, out_indices=2)(IMAGES)
    ] == [4, 2]
    with pytest.raises(MixnasError, match=r"has 5 maps, with reductions 2, 4, 8, 16, 32"):
        Backbone(TimmStyleNetwork(SPEC), (5,))


@pytest.mark.parametrize(
    "name", ["densenet_121", "vgg_16", "nin", "convnext_atto", "squeezenet_1_1"]
)
def test_networks_of_other_families(name):
    spec = load_network(name)
    size = spec.input.resolution if name == "vgg_16" else 96
    spec = spec.replace(input=Input(resolution=size))
    model = TimmStyleNetwork(spec).eval()
    images = torch.randn(1, *spec.in_shape)
    with torch.no_grad():
        features = model.forward_features(images)
        assert features.shape[1] == model.num_features
        assert torch.equal(model.forward_head(features), model(images))
        maps = Backbone(model)(images)
    assert [one.shape[1] for one in maps] == [one["num_chs"] for one in maps_of(spec)]


def test_the_classifier_can_be_replaced():
    model = mixnas(spec=SPEC, num_classes=3, drop_rate=0.5)
    assert model(IMAGES).shape == (2, 3)
    assert model.get_classifier() is model.classifier
    model.reset_classifier(0)
    assert model(IMAGES).shape == (2, 1536)
    with pytest.raises(MixnasError, match="pooling of a network is its own; found 'max'"):
        model.reset_classifier(3, "max")
    with pytest.raises(MixnasError, match="is a convolution, which stays"):
        TimmStyleNetwork(load_network("nin")).reset_classifier(5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "the network is missing"),
        ({"spec": SPEC, "pretrained": True}, "downloads nothing here; name the file with weights="),
        ({"spec": SPEC, "in_chans": 1}, "in_chans: no option of a network of mixnas"),
        ({"spec": "mixnet_x"}, "unknown network 'mixnet_x'"),
    ],
)
def test_mistakes(options, words):
    with pytest.raises(MixnasError, match=words):
        mixnas(**options)


def test_a_network_is_found_by_name():
    assert mixnas(spec="mobilenet_v2").spec == load_network("mobilenet_v2")
