"""The command that exports networks."""

import json
import sys

import onnx
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from nas.export.__main__ import _path_for
from nas.export.registry import FORMATS
from nas.latency import LocalDevice, MeasurementSettings
from nas.spec import load_network
from nas.testing.fakes import InstantDevice
from nas.torch_model import build
from tests.data.writing import write_folder
from tests.export.int8.training import fragile, write_run
from tests.export.test_trained import OURS, SMALL


def test_a_spec_file_is_exported_next_to_itself(command, tmp_path):
    load_network("mixnet_s").at(64).save(tmp_path / "best.yaml")
    result = command("nas.export", "best.yaml", "--format", "onnx")
    assert result.returncode == 0, result.stderr
    assert "best.onnx: outputs within" in result.stdout
    assert "the weights are random" in result.stderr
    onnx.checker.check_model(onnx.load(tmp_path / "best.onnx"))
    about = json.loads((tmp_path / "best.onnx.json").read_text(encoding="utf-8"))
    assert about["spec"] == load_network("mixnet_s").at(64).to_dict()
    assert (about["checked_on"], about["checked_images"]) == ("digits", 16)
    assert "classes" not in about


def test_a_training_is_exported_with_all_that_is_needed_to_use_it(here, refused, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    SMALL.save(run / "network.yaml")
    save_file(build(SMALL, 1).state_dict(), run / "weights.safetensors", OURS.to_properties())
    write_folder(tmp_path / "pets", classes=("bee", "ant"))
    settings = {"network": "tiny", "data": str(tmp_path / "pets"), "recipe": {}}
    (run / "training.yaml").write_text(yaml.safe_dump(settings))
    result = here("nas.export", "run", "--lowered", "--json")
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert (told["path"], told["trained"]) == ("run/network.onnx", True)
    assert (told["checked_on"], told["same_class"]) == (str(tmp_path / "pets"), 8)
    properties = {p.key: p.value for p in onnx.load(run / "network.onnx").metadata_props}
    assert json.loads(properties["classes"]) == ["bee", "ant"]
    assert properties["command"] == "python -m nas.train tiny.yaml --data pets"
    about = json.loads((run / "network.onnx.json").read_text(encoding="utf-8"))
    assert (about["classes"], about["file"]) == (["bee", "ant"], "network.onnx")
    assert about["preprocessing"]["mean"] == [0.5, 0.25, 0.125]
    assert about["preprocessing"]["crop"] == "central square of the upright image"
    assert about["preprocessing"]["pixels"].endswith("(batch, channel, row, column)")
    assert here("nas.export", "run", "--format", "tflite").returncode == 0
    about = json.loads((run / "network.tflite.json").read_text(encoding="utf-8"))
    assert about["preprocessing"]["pixels"].endswith("(batch, row, column, channel)")
    (run / "network.onnx").unlink()
    assert "network.onnx.json already exists" in refused("nas.export", "run")


def test_the_file_goes_into_a_folder(here, tmp_path):
    SMALL.save(tmp_path / "small.yaml")
    (tmp_path / "out").mkdir()
    for out in ("out", "out/"):
        assert here("nas.export", "small.yaml", "--out", out, "--force").returncode == 0
        assert (tmp_path / "out" / "small.onnx").is_file()
        (tmp_path / "out" / "small.onnx").unlink()


def test_dots_in_names_stay(here, tmp_path):
    SMALL.save(tmp_path / "v1.2")
    result = here("nas.export", "v1.2")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "v1.2.onnx").is_file()


@pytest.mark.parametrize(("name", "found"), sorted(FORMATS.items()))
def test_every_format_has_a_file_beside_a_spec(name, found):
    assert _path_for("nets/small.yaml", found.suffix).as_posix() == f"nets/small{found.suffix}"
    assert _path_for("mixnet_s", found.suffix).name == f"mixnet_s{found.suffix}"


def test_the_deployed_form_is_written(command, refused, tmp_path):
    load_network("mixnet_s").at(64).save(tmp_path / "small.yaml")
    result = command("nas.export", "small.yaml", "--lowered", "--out", "low.onnx", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["lowered"] is True
    kinds = {node.op_type for node in onnx.load(tmp_path / "low.onnx").graph.node}
    assert "Split" not in kinds
    assert "BatchNormalization" not in kinds


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--device", "onnxruntime:cpu", "--format", "timm"),
            "no device takes files of --format t",
        ),
        (("--threads", "2"), "--threads 2 only has an effect with --device; leave it out"),
        (("--interval", "8ms"), "--interval 8ms only has an effect with --device; leave it out"),
        (("--device", "onnxruntime:cpu", "--interval", "1h"), "'1h' is not a time"),
    ],
)
def test_options_of_the_device_without_effect_are_refused(refused, words, message):
    assert message in refused("nas.export", "mixnet_s", *words)


def test_int8_is_judged_beside_fp32(here, refused, instant, tmp_path):
    write_run(tmp_path / "run")
    words = ("nas.export", "run", "--format", "onnx-int8", "--calibration", "32")
    result = here(*words)
    assert result.returncode == 0, result.stderr
    assert "run/network.int8.onnx: outputs within" in result.stdout
    assert "accuracy (360 validation images)" in result.stdout
    assert "calibrated on 32 training images of digits" in " ".join(result.stdout.split())
    told = json.loads(here(*words, "--force", "--json").stdout)
    about = json.loads((tmp_path / "run" / "network.int8.onnx.json").read_text(encoding="utf-8"))
    assert told["int8"] == about["int8"]
    assert about["format"] == "onnx-int8"
    write_run(tmp_path / "fragile", fragile())
    error = refused("nas.export", "fragile", "--format", "onnx-int8")
    assert "percentage points of accuracy on 360 validation images" in error
    assert not (tmp_path / "fragile" / "network.int8.onnx").exists()
    accepted = here("nas.export", "fragile", "--format", "onnx-int8", "--max-loss", "100")
    assert accepted.returncode == 0, accepted.stderr


def test_int8_with_random_weights_is_not_judged_by_accuracy(here, instant, tmp_path):
    SMALL.save(tmp_path / "small.yaml")
    result = here("nas.export", "small.yaml", "--format", "onnx-int8", "--json")
    assert result.returncode == 0, result.stderr
    assert "the weights are random" in result.stderr
    found = json.loads(result.stdout)["int8"]
    assert (found["accuracy"], found["calibrated_on"]) == (None, "128 training images of digits")


@pytest.mark.slow
def test_int8_is_timed_in_the_runtime_of_its_format(command, tmp_path):
    write_run(tmp_path / "run")
    for name in ("onnx-int8", "tflite-int8", "openvino-int8"):
        result = command("nas.export", "run", "--format", name, "--json", timeout=300)
        assert result.returncode == 0, result.stderr
        latency = json.loads(result.stdout)["int8"]["latency"]
        for precision in ("fp32", "int8"):
            assert latency[precision]["device"].startswith(
                {"onnx": "onnxruntime", "tflite": "litert", "openvino": "openvino"}[name[:-5]]
            )
            assert 0 < latency[precision]["median_ms"] < 1000
            assert latency[precision]["n"] > 10


@pytest.fixture
def untouchable(monkeypatch):
    """Fail if a device is asked for anything, or an image of a data set is read."""

    class Untouchable:
        def __init__(self, name, settings):
            if not name:
                LocalDevice(name, settings)

        def __getattr__(self, name):
            raise AssertionError(name)

    def unexpected(*_):
        raise AssertionError

    monkeypatch.setattr("nas.export.device.open_device", Untouchable)
    monkeypatch.setattr("nas.export.int8.request.drawn_images", unexpected)
    monkeypatch.setattr("nas.export.trained.some_images", unexpected)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--device", ""), "unknown device ''"),
        (("--format", "timm"), "--format timm has no lowered networks"),
        (("--data", "digits"), "--data digits only has an effect on int8 formats"),
        (("--format", "onnx-int8", "--data", "gone"), "gone"),
        (("--format", "onnx-int8", "--data", "pets"), "pets has 2 classes, and the network 10"),
        (("--format", "onnx-int8", "--weights", "none.safetensors"), "no such file"),
        (("--format", "onnx-int8", "--weights", "other.safetensors"), "belong to another network"),
        (("--format", "openvino-int8", "--out", "net.weights"), "let the name end in .xml"),
        (("--format", "openvino-int8", "--out", "net.xml"), "net.bin is a folder"),
        (("--format", "onnx-int8", "--out", "none/net.onnx"), "the folder none does not exist"),
    ],
)
def test_what_is_cheap_is_checked_before_anything_slow(
    refused, untouchable, tmp_path, words, message
):
    write_run(tmp_path / "run")
    (tmp_path / "run" / "weights.safetensors").rename(tmp_path / "w.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    save_file(load_file(tmp_path / "w.safetensors"), tmp_path / "plain.safetensors")
    write_folder(tmp_path / "pets", classes=("bee", "ant"))
    (tmp_path / "net.bin").mkdir()
    given = () if "--weights" in words else ("--weights", "plain.safetensors")
    error = refused(
        "nas.export", "run/network.yaml", "--lowered", "--device", "fake:cpu", *given, *words
    )
    assert message in error
    assert not list(tmp_path.rglob(".*"))


def test_a_package_that_is_missing_is_told_before_anything_slow(
    refused, untouchable, monkeypatch, tmp_path
):
    SMALL.save(tmp_path / "small.yaml")
    monkeypatch.delitem(sys.modules, "nas.export.int8.openvino_file", raising=False)
    monkeypatch.setitem(sys.modules, "nncf", None)
    error = refused("nas.export", "small.yaml", "--format", "openvino-int8")
    assert "install it with pip install 'mixnas[int8]'" in error


def test_a_device_is_opened_once(here, monkeypatch, tmp_path):
    opened = []
    monkeypatch.setattr(
        "nas.export.device.open_device",
        lambda *words: opened.append(words) or InstantDevice(words[1]),
    )
    SMALL.save(tmp_path / "small.yaml")
    result = here("nas.export", "small.yaml", "--lowered", "--device", "fake:cpu")
    assert result.returncode == 0, result.stderr
    assert opened == [("fake:cpu", MeasurementSettings())]


def test_what_is_exported_is_never_replaced(refused, tmp_path):
    write_run(tmp_path / "run")
    before = (tmp_path / "run" / "network.yaml").read_bytes()
    weights = "run/weights.safetensors"
    for words in (
        ("run", "--out", "run/network.yaml"),
        ("run/network.yaml", "--out", "run/network.yaml"),
        ("run", "--out", weights),
        ("run/network.yaml", "--weights", weights, "--out", "./run/../" + weights),
    ):
        error = refused("nas.export", *words, "--force")
        assert "is what is exported; choose another --out" in error
    assert (tmp_path / "run" / "network.yaml").read_bytes() == before


def test_a_folder_that_cannot_be_written_to_is_told_at_once(refused, untouchable, monkeypatch):
    def denied(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryDirectory", denied)
    error = refused("nas.export", "mixnet_s")
    assert (
        error == "no file can be written to the folder . (Permission denied); choose another --out"
    )


def test_options_without_effect_are_refused(refused):
    for option in (("--calibration", "64"), ("--max-loss", "3"), ("--data", "digits")):
        error = refused("nas.export", "mixnet_s", *option)
        assert f"{option[0]} {option[1]} only has an effect on int8 formats" in error


def test_mistakes_are_refused(refused, tmp_path):
    assert "unknown format 'onx'" in refused("nas.export", "mixnet_s", "--format", "onx")
    (tmp_path / "mixnet_s.onnx").write_text("mine")
    assert "already exists; choose another --out" in refused("nas.export", "mixnet_s")
    assert (tmp_path / "mixnet_s.onnx").read_text() == "mine"
    for out in ("a/b.onnx", "a/"):
        assert "folder a does not exist" in refused("nas.export", "mixnet_s", "--out", out)
    assert not (tmp_path / "a").exists()
    words = ("nas.export", "mixnet_s", "--out", "b.onnx", "--weights", "w.safetensors")
    assert "w.safetensors: no such file" in refused(*words)
