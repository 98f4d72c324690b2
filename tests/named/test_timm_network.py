import sys
from dataclasses import replace

import pytest

pytest.importorskip("torch")

import torch

from nas.errors import MixnasError
from nas.named import TimmNetwork, classifier_layers, open_timm, timm_module

RESNET = TimmNetwork("timm:resnet18", 7, 32)


def test_a_network_knows_its_name_and_its_images():
    assert RESNET.timm_name == "resnet18"
    assert RESNET.in_shape == (3, 32, 32)


def test_what_it_computes_identifies_a_network():
    others = [replace(RESNET, **{name: 64}) for name in ("num_classes", "resolution")]
    digests = {network.digest() for network in (RESNET, *others)}
    assert len(digests) == 3
    assert all(len(found) == 16 for found in digests)


def test_a_seed_gives_the_weights(stand_in_for_timm):
    state = torch.random.get_rng_state()
    one, same, other = (RESNET.build(seed)[0].weight for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_rates_are_passed_where_they_are_not_zero(stand_in_for_timm):
    assert RESNET.build(0, dropout=0.2)(torch.zeros(2, 3, 32, 32)).shape == (2, 7)
    with pytest.raises(MixnasError, match="timm cannot build 'resnet18': unexpected keyword"):
        RESNET.build(0, drop_path=0.2)


def test_a_tag_names_the_weights_of_a_known_network(stand_in_for_timm):
    assert open_timm("timm:resnet18.a1_in1k").num_classes == 1000


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("timm:features", {}, "timm:features has no classifier of its own"),
        ("timm:maps", {}, r"no classifier of 1000 classes: .* shape \(1, 4, 158, 158\)"),
        ("timm:vit_small", {"resolution": 64}, "does not accept images of 64 px, and is made for"),
        ("timm:hf-hub:someone/resnet18", {}, "timm has no network 'hf-hub:someone/resnet18'"),
        ("timm:resnt18", {}, "similar names: resnet18$"),
    ],
)
def test_what_cannot_classify_images_is_refused(stand_in_for_timm, name, options, message):
    with pytest.raises(MixnasError, match=message):
        open_timm(name, **options)


def test_given_classes_a_network_of_features_has_a_classifier(stand_in_for_timm):
    assert open_timm("timm:features", 5) == TimmNetwork("timm:features", 5, 160)


def test_a_missing_timm_is_told_with_the_way_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    message = (
        r"timm:resnet18: the package 'timm' is not installed; install it with "
        r"pip install 'mixnas\[timm\]'"
    )
    with pytest.raises(MixnasError, match=message):
        open_timm("timm:resnet18")
    with pytest.raises(MixnasError, match=message):
        RESNET.build(0)


def test_a_timm_that_cannot_be_imported_is_told(monkeypatch, tmp_path):
    (tmp_path / "timm.py").write_text("raise RuntimeError('operator nms does not exist')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    with pytest.raises(MixnasError, match="cannot be imported: operator nms does not exist; inst"):
        open_timm("timm:resnet18")


def test_the_layers_that_depend_on_the_classes(stand_in_for_timm):
    assert classifier_layers(timm_module("vit_small")) == ("head", "head_dist")
    assert classifier_layers(timm_module("resnet18")) == ()


def test_timm_itself_is_opened(timm):
    assert open_timm("timm:vit_tiny_patch16_224", 10) == TimmNetwork(
        "timm:vit_tiny_patch16_224", 10, 224
    )
    with pytest.raises(MixnasError, match="timm:vit_small_patch14_dinov2 has no classifier"):
        open_timm("timm:vit_small_patch14_dinov2", resolution=224)
