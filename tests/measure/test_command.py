"""The command that measures networks."""

import dataclasses
import json

import pytest

from nas.errors import UnrunnableError
from nas.measure import __main__ as measure
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


class TwoSpeeds(InstantDevice):
    """Takes a quarter of the time with int8, which some networks cannot be quantized to."""

    def measure(self, spec, effort=None):
        latency = super().measure(spec, effort)
        if self.settings.precision == "fp32":
            return latency
        if spec.name == "efficientnet_b0":
            raise UnrunnableError("the network cannot be quantized to int8: no range")
        return dataclasses.replace(latency, steady_ms=latency.steady_ms / 4)


def test_int8_stands_beside_fp32(here, refused, monkeypatch):
    monkeypatch.setattr("nas.latency.open_device", lambda name, settings: TwoSpeeds(settings))
    words = ("nas.measure", "mobilenet_v2", "mixnet_s", "--precision", "int8", "--both")
    rows = json.loads(here(*words, "--json").stdout)
    assert [(row["name"], row["precision"], "times_fp32" in row) for row in rows] == [
        ("mobilenet_v2", "fp32", False),
        ("mobilenet_v2", "int8", True),
        ("mixnet_s", "fp32", False),
        ("mixnet_s", "int8", True),
    ] * 2
    assert {row.get("times_fp32") for row in rows} == {None, 0.25}
    shown = here(*words).stdout.splitlines()
    (header,) = (line for line in shown if "network" in line)
    assert "precision" in header
    assert "int8 / fp32" in header
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown if "│" in line]
    assert [row[2] for row in cells] == ["fp32", "int8"] * 4
    assert [row[7] for row in cells] == ["", "0.25"] * 4
    plain = here("nas.measure", "mobilenet_v2").stdout
    assert "int8 / fp32" not in plain
    assert "batch 1, fp32; steady" in " ".join(plain.split())


def test_networks_that_can_be_measured_are_told_beside_those_that_cannot(here, monkeypatch):
    monkeypatch.setattr("nas.latency.open_device", lambda name, settings: TwoSpeeds(settings))
    words = ("nas.measure", "efficientnet_b0", "mixnet_s", "--precision", "int8")
    found = here(*words, "--json")
    assert found.returncode == 2
    assert "the network cannot be quantized to int8: no range" in found.stderr
    assert [
        (row["name"], row["precision"], row.get("times_fp32")) for row in json.loads(found.stdout)
    ] == [
        ("efficientnet_b0", "fp32", None),
        ("mixnet_s", "fp32", None),
        ("mixnet_s", "int8", 0.25),
    ]
    shown = here(*words)
    assert shown.returncode == 2
    assert "mixnet_s" in shown.stdout


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["onnxruntime", "litert", "openvino"])
def test_int8_runs_in_three_runtimes(command, tmp_path, runtime):
    load_network("mixnet_s").replace(input=Input(resolution=64), name="mine").save(
        tmp_path / "mine.yaml"
    )
    words = ("nas.measure", "mine.yaml", "--precision", "int8", "--plain", "--json")
    result = command(*words, "--device", f"{runtime}:cpu", "--attempts", "1", timeout=300)
    assert result.returncode == 0, result.stderr
    fp32, int8 = json.loads(result.stdout)
    assert (fp32["precision"], int8["precision"]) == ("fp32", "int8")
    assert int8["times_fp32"] == pytest.approx(int8["steady_ms"] / fp32["steady_ms"])


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


@pytest.mark.parametrize(
    ("lowered", "form", "shown"),
    [
        (True, "", "lowered"),
        (True, "by layer", "lowered, by layer"),
        (True, "as trained", "lowered, as trained"),
        (False, "", "plain"),
    ],
)
def test_the_form_that_was_measured_is_shown(lowered, form, shown):
    assert measure._form({"lowered": lowered, "form": form}) == shown


class AnyNetworkDevice(InstantDevice):
    """Measures networks of timm, too."""

    def check_timm(self, network):
        if network.resolution == 40:
            raise UnrunnableError("not at 40 px")

    def measure_timm(self, network, effort=None):
        return dataclasses.replace(
            self.measure(load_network("mixnet_s"), effort), form="as trained"
        )


def test_networks_of_timm_are_measured_beside_others(here, refused, monkeypatch, stand_in_for_timm):
    lowered = []

    def open_device(name, settings):
        lowered.append(settings.lowered)
        return AnyNetworkDevice(settings)

    monkeypatch.setattr("nas.latency.open_device", open_device)
    words = ("nas.measure", "timm:resnet18", "--json")
    (row,) = json.loads(here(*words).stdout)
    assert row["name"] == "timm:resnet18"
    assert lowered == [False]  # nothing has to be lowered
    rows = json.loads(here(*words, "mixnet_s").stdout)
    assert [(row["name"], row["form"]) for row in rows] == [
        ("timm:resnet18", "as trained"),
        ("mixnet_s", ""),
    ]
    assert lowered == [False, True]
    assert refused("nas.measure", "timm:resnet18", "--resolution", "40") == "not at 40 px"
