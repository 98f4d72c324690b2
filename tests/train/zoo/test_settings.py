import pytest

from nas.errors import DocumentError, MixnasError
from nas.references import references
from nas.spec import load_network, reference_names
from nas.train.recipe import Recipe
from nas.train.zoo.settings import (
    ZOO,
    ZooSettings,
    check_networks,
    is_zoo,
    read_zoo_settings,
)


def test_the_zoo_has_twenty_reference_networks_of_many_families():
    assert len(set(ZOO)) == len(ZOO) == 20
    assert set(ZOO) <= set(reference_names())
    families = {found.family for found in references() if found.spec.name in ZOO}
    assert len(families) >= 8


def test_every_network_of_the_zoo_takes_images_of_128_pixels():
    for name in ZOO:
        assert load_network(name).at(128).map_shape()[1:] == (4, 4), name


def test_each_network_has_a_training_of_its_own():
    settings = ZooSettings(
        networks=("mixnet_s", "/a/best.yaml", "/b/best.yaml", "timm:resnet18"),
        recipe=Recipe(epochs=2),
        seed=4,
        activation="mish",
    )
    trainings = settings.trainings()
    assert list(trainings) == ["mixnet_s", "best", "best_2", "timm:resnet18"]
    assert trainings["best_2"].network == "/b/best.yaml"
    assert {(t.seed, t.recipe.epochs, t.activation) for t in trainings.values()} == {(4, 2, "mish")}


def test_settings_are_read_as_they_were_saved(tmp_path):
    settings = ZooSettings(networks=("mixnet_s", "resnet_18"), recipe=Recipe(ema=0.5), seed=2)
    assert not is_zoo(tmp_path)
    settings.save(tmp_path)
    assert is_zoo(tmp_path)
    assert read_zoo_settings(tmp_path) == settings


def test_wrong_settings_are_refused(tmp_path):
    path = tmp_path / "zoo.yaml"
    path.write_text("networks: [mixnet_s]\ndata: digits\n", encoding="utf-8")
    with pytest.raises(DocumentError, match=r"zoo\.yaml: missing keys: recipe"):
        read_zoo_settings(tmp_path)
    path.write_text("networks: []\n", encoding="utf-8")
    with pytest.raises(DocumentError, match=r"zoo\.yaml:1: networks"):
        read_zoo_settings(tmp_path)


def test_networks_are_checked_before_hours_of_training():
    check_networks(["mixnet_s", "timm:whatever"])
    with pytest.raises(MixnasError, match="mixnet_s is named twice"):
        check_networks(["mixnet_s", "resnet_18", "mixnet_s"])
    with pytest.raises(MixnasError, match=r"unknown network 'mixnet_z' \(did you mean"):
        check_networks(["resnet_18", "mixnet_z"])
