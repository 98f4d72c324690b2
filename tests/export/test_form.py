"""The form in which a network is exported."""

import dataclasses

import pytest

from nas.export.device import ExportDevice
from nas.export.form import ExportForm, export_form
from nas.export.registry import FORMATS
from nas.latency.conditions import MeasurementSettings
from nas.latency.deployment import SIMPLE_RULES
from nas.lowering import AS_TRAINED, MERGE_ALL, PHASED
from nas.spec import load_network
from nas.testing.fakes import InstantDevice

SPEC = load_network("mixnet_s")


def test_a_network_as_trained_or_by_a_rule():
    assert export_form(SPEC, False, None) == ExportForm(None, {})
    assert export_form(SPEC, True, None) == ExportForm(MERGE_ALL, {"form": "merged"})
    phases = export_form(SPEC, True, None, "phases")
    assert (phases.choice, phases.facts, phases.sentence) == (PHASED, {"form": "phases"}, "")


def test_formats_name_rules_that_exist():
    assert {name: found.rule for name, found in FORMATS.items() if found.rule != "merged"} == {
        "tflite": "phases", "tflite-int8": "phases", "torch-export": "phases",
    }  # fmt: skip
    assert {found.rule for found in FORMATS.values()} <= set(SIMPLE_RULES)


@pytest.mark.parametrize("noise", [(), ("busy",)])
def test_a_device_tells_the_fastest_form_and_its_latency(monkeypatch, noise):
    class Board(InstantDevice):
        def measure(self, spec, effort=None):
            found = super().measure(spec)
            return dataclasses.replace(found, form="as trained", steady_ms=12.5, noise=noise)

    asked = []
    monkeypatch.setattr(
        "nas.export.device.open_device", lambda *words: asked.append(words) or Board()
    )
    device = ExportDevice(FORMATS["onnx"], "fake:cpu", lowered=True)
    found = export_form(SPEC, True, device, "merged", "int8")
    assert asked[-1] == ("fake:cpu", MeasurementSettings(precision="int8"))
    assert found.choice is AS_TRAINED
    assert found.facts["form"] == "as trained"
    assert found.facts["latency"]["steady_ms"] == 12.5
    words = "a network in this form (as trained, the fastest of those tried) takes 12.50 ms"
    assert words in found.sentence
    assert found.sentence.endswith("the machine was not quiet") == bool(noise)


def test_the_profile_is_the_rule_where_it_was_fastest(monkeypatch):
    board = InstantDevice()
    monkeypatch.setattr("nas.export.device.open_device", lambda *_: board)
    found = export_form(SPEC, True, ExportDevice(FORMATS["onnx"], "fake:cpu", lowered=True))
    assert found.choice == board.profile
    # The fake does not say in which form it measures, as devices of users need not.
    assert "a network in this form (by layer, the fastest of those tried)" in found.sentence
