import json

import pandas as pd
import pytest
import yaml

from analysis.read.population import population_of
from analysis.read.runs import read_run
from analysis.report.devices import device_report
from analysis.report.page import as_json, read_report, write_report

LITERT, ORT = "litert:cpu", "http://board:7070/ort"


@pytest.fixture
def run(tmp_path):
    """A run on two devices, of which the second one has a limit that its fastest networks keep."""
    fast, slow = [2.0, 4.0, 6.0], [9.0, 1.0, 2.0]
    trials = pd.DataFrame(
        {
            "number": range(3), "state": "complete", "reason": "", "spec_hash": "h", "params": 1e6,
            "madds": 1e8, "accuracy": [0.9, 0.8, 0.7], "latency_ms": fast,
            "latency_p10_ms": 1.0, "latency_p90_ms": 9.0,
            **{f"latency_ms@{LITERT}": fast, f"latency_ms@{ORT}": slow},
            "within_limits": True, f"within_limits@{LITERT}": True,
            f"within_limits@{ORT}": [False, True, True],
        }
    )  # fmt: skip
    trials.to_csv(tmp_path / "trials.csv", index=False)
    reference = trials.head(1).drop(columns=["number"]).assign(name="m")
    reference.to_csv(tmp_path / "references.csv", index=False)
    config = {
        "space": "mixnet", "data": "digits", "device": [LITERT, ORT], "command": "search",
        "limits": {f"latency@{ORT}": "5ms"},
    }  # fmt: skip
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    conditions = {"latencies": {"device": LITERT}, "devices": {ORT: {"latencies": {"device": ORT}}}}
    (tmp_path / "conditions.yaml").write_text(yaml.safe_dump(conditions), encoding="utf-8")
    for file, number in (("", 0), ("@litert-cpu", 0), ("@http-board-7070-ort", 1)):
        (tmp_path / f"best{file}.yaml").write_text(f"name: mixnet_trial_{number}\n")
    return tmp_path


def test_a_run_is_seen_by_each_device(run):
    whole = read_run(run)
    assert whole.devices == (LITERT, ORT)
    first, second = (whole.on(device) for device in whole.devices)
    assert first.trials["latency_ms"].tolist() == [2.0, 4.0, 6.0]
    assert second.trials["latency_ms"].tolist() == [9.0, 1.0, 2.0]
    assert (first.config["device"], second.config["device"]) == (LITERT, ORT)
    assert (first.limits, second.limits) == ({}, {"latency": "5ms"})
    assert (first.best, second.best) == ("trial_0", "trial_1")
    assert second.facts["latencies"] == {"device": ORT}
    assert second.references["latency_ms"].tolist() == [9.0]
    assert second.on(ORT) is second
    assert population_of(whole).table["latency_ms"].tolist() == [2.0, 4.0, 6.0]


def test_every_device_has_a_front_and_all_have_one(run):
    found = device_report(read_run(run))
    assert [list(front.rows["number"]) for front in found.fronts.values()] == [[0], [1]]
    assert list(found.joint.rows["number"]) == [1]
    assert [(loss.number, loss.within) for loss in found.losses] == [(0, False), (1, True)]
    words = " ".join(found.summary())
    assert f"On {ORT}: One network, trial_1, has both the highest score" in words
    assert (
        f"trial_0, the best for {LITERT}, takes 9.00 ms on {ORT}, which breaks the limit" in words
    )
    assert "1 network of 2 within the limits of all devices cannot be replaced" in words


def test_the_page_shows_the_devices(run):
    page = write_report(run).read_text(encoding="utf-8")
    assert '<h2 id="devices">Devices</h2>' in page
    assert f"Latencies here and in the table are those on {LITERT}." in page
    assert f"Score against latency on {ORT}." in page
    assert (run / "figures" / "front@http-board-7070-ort.png").is_file()
    assert (run / "figures" / "devices@http-board-7070-ort.svg").is_file()
    shown = json.loads(as_json(read_report(run), run / "report.html"))
    assert list(shown["devices"]["fronts"]) == [LITERT, ORT]
    assert shown["devices"]["fronts"][ORT]["best"] == "trial_1"
    assert [row["number"] for row in shown["front"]] == [0]


def test_a_search_on_one_device_has_no_such_part(run):
    config = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump({**config, "device": LITERT}))
    assert device_report(read_run(run)) is None
    page = write_report(run).read_text(encoding="utf-8")
    assert 'id="devices"' not in page


def test_a_device_that_has_just_joined_waits_for_its_columns(run):
    config = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump({**config, "device": [LITERT, "ncnn:cpu"]}))
    found = read_run(run)
    assert found.devices == (LITERT,)
    assert found.on(LITERT).config["device"] == LITERT
    assert device_report(found) is None
