"""The command that measures networks."""

import json

import pytest

from nas.spec import Input, load_network
from nas.testing.fakes import InstantDevice


@pytest.mark.slow
def test_both_forms_of_networks_are_measured(command, tmp_path):
    spec = load_network("mixnet_s").replace(input=Input(resolution=64), name="mine")
    spec.save(tmp_path / "mine.yaml")
    words = ("nas.measure", "mine.yaml", "mobilenet_v2", "--resolution", "64", "--both", "--json")
    result = command(*words, "--threads", "1", "--attempts", "1", timeout=300)
    assert result.returncode == 0, result.stderr
    rows = json.loads(result.stdout)
    assert [(row["name"], row["lowered"]) for row in rows] == [
        ("mine", True),
        ("mobilenet_v2", True),
        ("mine", False),
        ("mobilenet_v2", False),
    ]
    for row in rows:
        assert 0 < row["p10_ms"] <= row["median_ms"] <= row["p90_ms"]
        assert row["n"] >= 30
        assert (row["device"], row["threads"], row["batch"]) == ("onnxruntime:cpu", 1, 1)
        assert row["runtime"].startswith("onnxruntime ")
        assert row["resolution"] == 64


def test_a_table_for_people(command):
    words = ("nas.measure", "mobilenet_v2", "--device", "torch:cpu", "--plain", "--attempts", "1")
    result = command(*words, "--resolution", "64", timeout=300)
    assert result.returncode == 0, result.stderr
    assert "mobilenet_v2" in result.stdout
    assert "plain" in result.stdout
    assert "torch:cpu, torch 2." in result.stdout
    assert "pause" not in result.stdout


def test_pauses_are_shown(here, monkeypatch):
    monkeypatch.setattr("nas.latency.open_device", lambda name, settings: InstantDevice(settings))
    found = here("nas.measure", "mobilenet_v2", "--device", "litert:cpu", "--interval", "0.2s")
    assert found.returncode == 0, found.stderr
    assert "fp32, a pause of 200 ms before each run; steady:" in " ".join(found.stdout.split())
    rows = json.loads(here("nas.measure", "mobilenet_v2", "--interval", "0.2s", "--json").stdout)
    assert [row["interval_ms"] for row in rows] == [200.0]


def test_mistakes_are_refused_in_one_line(refused):
    assert "unknown network 'mixnet_x'" in refused("nas.measure", "mixnet_x")
    error = refused("nas.measure", "mixnet_s", "--device", "tensorflow:cpu")
    assert "unknown device 'tensorflow:cpu'" in error
    assert "http://HOST:PORT" in error
    error = refused("nas.measure", "mixnet_s", "--precision", "fp8")
    assert "unknown precision 'fp8'" in error
    error = refused("nas.measure", "mixnet_s", "--precision", "int8", "--device", "torch:cpu")
    assert "int8 does not run in torch" in error
    assert "batch" in refused("nas.measure", "mixnet_s", "--batch", "0")
    error = refused("nas.measure", "mixnet_s", "--interval", "1min")
    assert "'1min' is not a time; accepted forms: 8ms, 500us, 0.01s" in error
