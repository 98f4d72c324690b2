import dataclasses
import inspect

import pytest

from nas.errors import MixnasError
from nas.search.__main__ import search
from nas.search.config import (
    RETRAINED_NETWORKS,
    SearchConfig,
    default_of,
    read_config,
    resumed_config,
    with_absolute_paths,
)


def test_networks_are_retrained_where_they_are_for_the_data():
    def wanted(**changes):
        return SearchConfig(**changes).networks_to_retrain

    assert wanted(estimator="short:images=9") == wanted(estimator="supernet") == RETRAINED_NETWORKS
    assert wanted(estimator="table:x.csv") == wanted(estimator="my.module:Mine") == 0
    assert wanted(estimator="my.module:Mine", retrain="images=900") == RETRAINED_NETWORKS
    assert wanted(estimator="supernet", confirm=0) == 0
    assert wanted(estimator="table:x.csv", confirm=5) == 5


def test_defaults_stand_in_the_dataclass_alone(tmp_path):
    (tmp_path / "config.yaml").write_text("trials: 7\n", encoding="utf-8")
    config = read_config(tmp_path / "config.yaml")
    assert config == dataclasses.replace(SearchConfig(), trials=7)
    assert (default_of("space"), default_of("limits"), default_of("target")) == ("mixnet", {}, None)
    with pytest.raises(KeyError, match="spice"):
        default_of("spice")


def test_options_have_no_defaults_of_their_own():
    parameters = inspect.signature(search).parameters
    given = {name for name, p in parameters.items() if p.default is not None}
    assert given == {"json", "quick", "thorough", "trust_config"}


def test_a_damaged_configuration_names_what_is_wrong(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("trials: 0\ndevices: none\n", encoding="utf-8")
    with pytest.raises(MixnasError) as told:
        read_config(path)
    assert "config.yaml:1: trials: input should be greater than or equal to 1; found 0" in str(
        told.value
    )
    assert "unknown key 'devices' (did you mean 'device'?)" in str(told.value)


def test_all_commands_measure_on_the_same_device_by_default():
    from nas import device
    from nas.measure.__main__ import measure
    from nas.train.__main__ import train

    commands = (train, measure, device.fit, device.examine)
    found = {inspect.signature(command).parameters["device"].default for command in commands}
    assert found == {default_of("device")}


def test_ranking_judges_as_a_search_does_by_default():
    from nas.rank.settings import RankingSettings

    defaults = {field.name: field.default for field in dataclasses.fields(RankingSettings)}
    assert defaults["estimator"] == default_of("estimator")
    assert defaults["data"] == default_of("data")


def test_gpus_of_versions_without_a_device_mean_nothing_now(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("estimator: supernet\ngpus: 0.0\n")
    assert read_config(path).gpus is None
    path.write_text("estimator: supernet\ngpus: 0.0\n'on': cuda\n")
    assert read_config(path).gpus == 0
    path.write_text("estimator: lab.own:Estimator\ngpus: 2.0\n")
    assert read_config(path).gpus == 2


def test_only_estimators_that_know_their_images_may_have_them_moved(tmp_path):
    run = SearchConfig(data="/old/pets")
    moved = resumed_config(run, {"data": "/new/pets"}, tmp_path, trusted=False)
    assert moved == dataclasses.replace(run, data="/new/pets")
    table = dataclasses.replace(run, estimator="table:x.json")
    with pytest.raises(MixnasError, match="known only of the estimators short, zero-cost, superne"):
        resumed_config(table, {"data": "/new/pets"}, tmp_path, trusted=False)


def test_a_run_has_one_device_or_several():
    assert SearchConfig(device="litert:cpu").devices == ["litert:cpu"]
    assert SearchConfig(device=["litert:cpu", "torch:cpu"]).devices == ["litert:cpu", "torch:cpu"]


def test_a_device_joins_a_run_with_a_limit_of_its_own(tmp_path):
    limits = {"madds": "3M", "latency": "8ms"}
    run = SearchConfig(device="litert:cpu", limits=limits)

    def resumed(run=run, **given):
        return resumed_config(run, given, tmp_path, trusted=False)

    assert resumed(device="litert:cpu") == run
    joined = resumed(device="torch:cpu", limits={"latency@torch:cpu": "5ms"})
    assert joined.devices == ["litert:cpu", "torch:cpu"]
    own = {"latency@litert:cpu": "8ms", "madds": "3M", "latency@torch:cpu": "5ms"}
    assert joined.limits == own
    assert resumed(joined, device="openvino:cpu").devices == [*joined.devices, "openvino:cpu"]
    assert resumed(joined, device=["torch:cpu"]) == joined
    for metric in ("latency", "params", "latency@litert:cpu"):
        with pytest.raises(MixnasError, match=f"--limit {metric}: a resumed run keeps its limits"):
            resumed(device="torch:cpu", limits={metric: "5ms"})
    reward = dataclasses.replace(run, objective="mnasnet", target="8ms")
    with pytest.raises(MixnasError, match=r"--device torch:cpu: .*'mnasnet' .* start a new run"):
        resumed(reward, device="torch:cpu")


def test_a_device_that_joins_confirms_no_other_one(tmp_path):
    run = SearchConfig(device="http://board:7070")
    with pytest.raises(MixnasError, match="add --device http://board:7070, or --trust-config"):
        resumed_config(run, {"device": "litert:cpu"}, tmp_path, trusted=False)
    both = {"device": ["http://board:7070", "litert:cpu"]}
    assert resumed_config(run, both, tmp_path, trusted=False).devices == both["device"]


def test_files_in_options_are_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("pets", "big.safetensors"):
        (tmp_path / name).touch()
    options = {
        "data": "pets",
        "estimator": "supernet:weights=big.safetensors",
        "retrain": "weights=big.safetensors",
        "trials": 3,
    }
    assert with_absolute_paths(options) == {
        "data": str(tmp_path / "pets"),
        "estimator": f"supernet:weights={tmp_path}/big.safetensors",
        "retrain": f"weights={tmp_path}/big.safetensors",
        "trials": 3,
    }
    assert with_absolute_paths({"data": "digits"}) == {"data": "digits"}
