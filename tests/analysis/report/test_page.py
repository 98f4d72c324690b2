import ast
import base64
import gzip
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import analysis
from analysis.errors import AnalysisError
from analysis.read.retraining import hits_document
from analysis.read.runs import read_run
from analysis.report.page import as_json, failed_rows, read_report, write_report
from analysis.statistics.ranking import ranking_card


@pytest.fixture
def run_folder(tmp_path):
    """A run as a search leaves it, with every kind of trial."""
    rows = [
        ("complete", 0.95, 5.0, ""),
        ("complete", 0.97, 8.0, ""),
        ("complete", 0.90, 9.0, ""),
        ("fail", None, 7.0, "the training loss is <nan> in epoch 1"),
        ("pruned", None, 20.0, "x"),
    ]
    trials = pd.DataFrame(
        [
            {
                "number": i,
                "state": state,
                "reason": reason,
                "spec_hash": f"h{i}",
                "params": 2e6,
                "madds": 3e8,
                "accuracy": accuracy,
                "latency_ms": latency,
                "latency_p10_ms": latency - 0.1,
                "latency_p90_ms": latency + 0.1,
                "latency_source": "predicted" if i == 0 else "measured",
            }
            for i, (state, accuracy, latency, reason) in enumerate(rows)
        ]
    )
    run = tmp_path / "run & co"
    run.mkdir()
    trials.to_csv(run / "trials.csv", index=False)
    reference = trials.head(1).drop(columns="number").assign(name="mixnet_s", latency_ms=6.0)
    reference.to_csv(run / "references.csv", index=False)
    config = {
        "space": "mixnet",
        "data": "digits",
        "device": "onnxruntime:cpu",
        "command": "python -m nas.search --out '<b>'",
    }
    (run / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return run


def unpacked(page, name):
    """What a page's script unpacks."""
    found = re.search(rf'<script type="application/octet-stream" id="{name}">(.*?)</script>', page)
    return gzip.decompress(base64.b64decode(found[1])).decode("utf-8")


def test_the_page_holds_the_networks(run_folder):
    data = json.loads(unpacked(write_report(run_folder).read_text(encoding="utf-8"), "data"))
    assert data["name"] == ["trial_0", "mixnet_s", "trial_1", "trial_2"]
    assert data["group"] == [0, 2, 0, 1]
    assert data["predicted"] == [1, 1, 0, 0]
    assert data["score"] == [0.95, 0.95, 0.97, 0.9]
    assert data["latency_p10_ms"] == [4.9, 4.9, 7.9, 8.9]
    assert data["percent"] is True


def test_what_the_figures_rest_on_is_shown(run_folder):
    assert 'id="conditions"' not in write_report(run_folder).read_text(encoding="utf-8")
    known = {
        "versions": {"torch": "2.13.0"},
        "scores": {"estimator": "supernet", "weights": None},
        "predictor": {"n": 40, "within_5": 0.8, "within_10": 0.975},
    }
    (run_folder / "conditions.yaml").write_text(yaml.safe_dump(known), encoding="utf-8")
    page = Page(write_report(run_folder).read_text(encoding="utf-8"))
    assert "versions torch" in page.text
    assert "scores weights" not in page.text
    assert "Latencies were predicted during the search" in page.text
    assert re.search(r"networks tested\s*40", page.text)
    assert re.search(r"within 5% of the measured latency\s*80%", page.text)
    assert re.search(r"within 10% of the measured latency\s*98%", page.text)
    (run_folder / "conditions.yaml").write_text("3", encoding="utf-8")
    with pytest.raises(AnalysisError, match=r"conditions\.yaml is damaged"):
        write_report(run_folder)


def test_what_the_best_networks_time_consists_of_is_shown(run_folder):
    (run_folder / "best.yaml").write_text("name: mixnet_trial_1", encoding="utf-8")
    rows = "onnxruntime:cpu,trial_{},convolution 1x1,3\nonnxruntime:cpu,trial_{},<b>,1\n"
    file, header = run_folder / "operators.csv", "device,network,operator,ms\n"
    file.write_text(header + rows.format(0, 0), encoding="utf-8")  # it was the best before
    assert 'id="operators"' not in write_report(run_folder).read_text(encoding="utf-8")
    file.write_text(header + rows.format(1, 1), encoding="utf-8")
    text = write_report(run_folder).read_text(encoding="utf-8")
    page = Page(text)
    assert "What the time of trial_1, the best network, consists of on onnxruntime:cpu" in page.text
    assert "The largest share, 75%, goes to convolution 1x1." in page.text
    assert re.search(r"convolution 1x1\s*3\.000\s*75\.0%", page.text)
    assert "<td><b>" not in text
    shown = json.loads(as_json(read_report(run_folder), run_folder / "report.html"))
    assert shown["operator_ms"] == {"convolution 1x1": 3.0, "<b>": 1.0}


def test_networks_beyond_the_limits_are_told_apart(run_folder):
    config = yaml.safe_load((run_folder / "config.yaml").read_text(encoding="utf-8"))
    config["limits"] = {"latency": "7ms", "madds": "400M"}
    (run_folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    trials = pd.read_csv(run_folder / "trials.csv")
    trials["within_limits"] = trials["latency_ms"] <= 7
    trials.to_csv(run_folder / "trials.csv", index=False)
    page = write_report(run_folder).read_text(encoding="utf-8")
    data = json.loads(unpacked(page, "data"))
    groups = dict(zip(data["name"], data["group"], strict=True))
    assert groups == {"trial_0": 0, "mixnet_s": 2, "trial_1": 3, "trial_2": 3}
    assert data["limits"] == {"latency_ms": [None, 7.0], "madds": [None, 4e8]}
    assert "1 of them satisfies the limits (latency 7ms, madds 400M)" in Page(page).text


def test_architectures_share_a_list_of_blocks(run_folder):
    trials = pd.read_csv(run_folder / "trials.csv")
    trials["architecture"] = ["ir_k3_c8 | ir_k3_c8 ir_k5_c16", None, "ir_k5_c16"] + [""] * 2
    trials.to_csv(run_folder / "trials.csv", index=False)
    data = json.loads(unpacked(write_report(run_folder).read_text(encoding="utf-8"), "data"))
    assert data["blocks"] == ["ir_k3_c8", "ir_k5_c16"]
    assert data["networks"] == [[0, -1, 0, 1], [], [], [1]]


def test_the_script_of_the_figure_is_plotlys(run_folder):
    page = write_report(run_folder).read_text(encoding="utf-8")
    assert "plotly.js v" in unpacked(page, "plotly")[:500]
    assert len(page) < 3_000_000


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.text, self.script = [], [], "", False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.script = tag in ("script", "style")
        self.links += [v for k, v in attributes if k in ("src", "href", "xlink:href") and v]

    def handle_data(self, data):
        self.text += "" if self.script else data


def test_the_page_is_whole_and_stands_alone(run_folder):
    page = Page(write_report(run_folder).read_text(encoding="utf-8"))
    assert page.tags.count("img") == 4
    # Nothing comes from outside.
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in page.links)
    for words in (
        "run & co",
        "from trial_0 (95.0% at 5.00 ms, predicted) to trial_1 (97.0% at 8.00 ms)",
        "No network is called faster than mixnet_s, whose latency was predicted",
        "2 of 5 trials ended without a result",
        "2 of 3 networks",
        "--out '<b>'",
        "the training loss is <nan> in epoch 1",
    ):
        assert words in page.text
    assert page.tags.count("script") == 3
    assert "b" not in page.tags


def test_figures_are_written_and_are_the_same_every_time(run_folder):
    write_report(run_folder)
    names = sorted(path.name for path in (run_folder / "figures").iterdir())
    drawn = ("front", "history", "madds_latency", "progress")
    assert names == [f"{name}.{kind}" for name in drawn for kind in ("png", "svg")]
    for path in (run_folder / "figures").glob("*.svg"):
        ET.parse(path)
    first = {path.name: path.read_bytes() for path in (run_folder / "figures").glob("*.svg")}
    write_report(run_folder)
    assert first == {
        path.name: path.read_bytes() for path in (run_folder / "figures").glob("*.svg")
    }


def test_a_run_without_results_still_has_a_page(run_folder):
    trials = pd.read_csv(run_folder / "trials.csv")
    trials[trials["state"] != "complete"].to_csv(run_folder / "trials.csv", index=False)
    (run_folder / "references.csv").unlink()
    page = Page(write_report(run_folder).read_text(encoding="utf-8"))
    assert "No trial has completed, so there is no Pareto front" in page.text


def test_a_ranking_card_is_shown_and_kept(command, refused, run_folder, tmp_path):
    table = pd.DataFrame({"accuracy": [0.1, 0.2, 0.3, 0.5], "madds": [1e8, 2e8, 3e8, 4e8]})
    found = ranking_card(table.assign(score=table["accuracy"]), ["score", "madds"], repeats=20)
    given = {"estimator": "short", "data": "pets", "table": "macro.json"}
    document = {**given, "seconds_per_network": 2.5, "fingerprint": {}, **found.to_dict()}
    card = tmp_path / "card.json"
    card.write_text(json.dumps(document), encoding="utf-8")
    before = Page(write_report(run_folder).read_text(encoding="utf-8")).text
    assert "It is not known how well these scores rank networks" in before
    result = command("analysis", "report", run_folder, "--ranking", card, "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["ranking"] == json.loads(json.dumps(found.to_dict()))
    after = Page(write_report(run_folder).read_text(encoding="utf-8")).text
    assert "It is not known" not in after
    assert re.search(r"the estimator\s*1\.00 \(1\.00 to 1\.00\)", after)
    assert "this search used a different estimator" in after
    assert "no such file" in refused("analysis", "report", run_folder, "--ranking", tmp_path / "x")


def test_published_networks_can_stand_beside(command, run_folder):
    result = command(
        "analysis", "report", run_folder, "--against", "baselines", "--family", "MixNet", "--json"
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)["published"]
    assert "ImageNet" in found["label"]
    assert {row["family"] for row in found["networks"]} == {"MixNet"}
    page = Page((run_folder / "report.html").read_text(encoding="utf-8"))
    assert "Published accuracies are those on ImageNet" in page.text
    assert (run_folder / "figures" / "published.svg").is_file()


def test_the_report_as_data(run_folder):
    report = read_report(run_folder)
    data = json.loads(as_json(report, run_folder / "report.html"))
    assert [row["number"] for row in data["front"]] == [0, 1]
    assert data["hypervolume"] == pytest.approx(report.front.hypervolume)
    assert data["summary"][0].startswith("3 networks of the space mixnet")
    assert [row["state"] for row in data["failed"]] == ["fail", "pruned"]
    assert [row["name"] for row in data["failed"]] == ["trial_3", "trial_4"]
    assert data["ranking"] is data["population"] is None


def test_completed_trials_are_those_with_results(run_folder):
    assert list(read_run(run_folder).completed["number"]) == [0, 1, 2]


def test_analysis_imports_no_room_of_nas():
    for path in Path(analysis.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert not any(name.split(".")[0] == "nas" for name in names), path


def retrained(run_folder, hits):
    """Retrain the best network and a reference twice each; an image is hard for both."""
    (run_folder / "best.yaml").write_text("name: mixnet_trial_1", encoding="utf-8")
    rng = np.random.default_rng(0)
    hard = rng.random(400)
    rows = [
        {
            **{"name": name, "kind": kind, "seed": seed, "validation": 0.9, "seconds": 1.0},
            "test_images": 400,
            "training": "r1",
            "hits": hard + 0.02 * rng.random(400) < right,
        }
        for name, kind, right in (("trial_1", "front", 0.95), ("mixnet_s", "reference", 0.92))
        for seed in (1, 2)
    ]
    rows = [{**row, "test": row["hits"].mean()} for row in rows]
    pd.DataFrame(rows).drop(columns="hits").to_csv(run_folder / "confirmed.csv", index=False)
    if hits:
        (run_folder / "test_hits.json").write_text(hits_document(rows), encoding="utf-8")


@pytest.mark.parametrize(("hits", "verdict"), [(True, "better"), (False, "no significant")])
def test_retrained_networks_are_compared_image_by_image(run_folder, hits, verdict):
    retrained(run_folder, hits)
    page = Page(write_report(run_folder).read_text(encoding="utf-8")).text
    assert f"trial_1 compared with each reference: mixnet_s: {verdict}" in page
    assert ("networks are compared image by image" in page) is hits
    assert ("treated as independent" in page) is not hits
    assert ("percentage points could have been seen" in page) is not hits
    assert "smallest visible lead" in page
    assert re.search(r"trial_1\s*90\.00% ± 0\.00", page)
    row = json.loads(as_json(read_report(run_folder), run_folder / "report.html"))["retrained"][1]
    assert float(row["smallest_lead"]) > 0


def test_accuracies_are_in_percent_where_the_estimator_says_so(run_folder):
    trials = pd.read_csv(run_folder / "trials.csv")
    trials.assign(score=trials["accuracy"], accuracy=None).to_csv(
        run_folder / "trials.csv", index=False
    )
    scale = {"label": "accuracy with <shared> weights", "is_accuracy": True}
    (run_folder / "conditions.yaml").write_text(
        yaml.safe_dump({"score_scale": scale, "scores": {"resolution": 36}}), encoding="utf-8"
    )
    text = write_report(run_folder).read_text(encoding="utf-8")
    data = json.loads(unpacked(text, "data"))
    assert data["percent"] is True
    assert data["label"] == "accuracy with <shared> weights at 36 px"
    page = Page(text)
    assert "accuracy with <shared> weights at 36 px" in page.text
    assert "shared" not in page.tags
    assert re.search(r"reference point:\s*score 89\.3%, latency\s*9\.40 ms", page.text)
    scale["is_accuracy"] = False
    (run_folder / "conditions.yaml").write_text(
        yaml.safe_dump({"score_scale": scale}), encoding="utf-8"
    )
    text = write_report(run_folder).read_text(encoding="utf-8")
    assert json.loads(unpacked(text, "data"))["percent"] is False
    assert re.search(r"reference point:\s*score 0\.893, latency", Page(text).text)


def test_markup_of_others_is_text_everywhere(run_folder):
    odd = "<img src=x onerror=alert(1)> $a$ {{ 7*7 }} \x1b[2J"
    for name in ("trials.csv", "references.csv"):
        table = pd.read_csv(run_folder / name)
        table["reason"] = odd
        if "name" in table:
            table["name"] = odd
        table.to_csv(run_folder / name, index=False)
    config = yaml.safe_load((run_folder / "config.yaml").read_text(encoding="utf-8"))
    config |= {"command": odd, "estimator": odd, "limits": {odd: odd}, "data": odd}
    (run_folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    (run_folder / "conditions.yaml").write_text(yaml.safe_dump({odd: odd}), encoding="utf-8")
    text = write_report(run_folder).read_text(encoding="utf-8")
    page = Page(text)
    assert page.tags.count("img") == 4
    assert "\x1b" not in text
    assert "{{ 7*7 }}" in page.text
    assert all("\x1b" not in name for name in json.loads(unpacked(text, "data"))["name"])
    for file in (run_folder / "figures").glob("*.svg"):
        ET.parse(file)


def test_failures_are_named_by_whole_numbers(run_folder):
    trials = pd.read_csv(run_folder / "trials.csv")
    trials.assign(number=trials["number"].astype(float)).to_csv(
        run_folder / "trials.csv", index=False
    )
    names = [row["name"] for row in failed_rows(read_run(run_folder))]
    assert names == ["trial_3", "trial_4"]
