import io
import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from analysis.read.runs import OBJECTIVES
from analysis.statistics.fronts import pareto_front
from nas.search.config import SearchConfig
from nas.search.references import RESULT_COLUMNS
from nas.search.results import Results, next_commands
from nas.search.retraining import CONFIRMED_COLUMNS


def row(name, score, ms, **changes):
    values = {
        "name": name, "accuracy": score, "score": score, "raw_score": score,
        "latency_ms": ms,
        "latency_p10_ms": ms - 0.1, "latency_p90_ms": ms + 0.2, "latency_source": "measured",
        "latency_noise": "", "madds": 4_000_000, "params": 463_000,
    }  # fmt: skip
    return {**values, **changes}


@pytest.fixture
def results():
    trials = pd.DataFrame([
        {**row("", 0.9528, 2.0), "number": 0},
        {**row("", 0.91, 1.0, latency_source="predicted"), "number": 1},
        {**row("", 0.90, 1.5), "number": 2},
    ])  # fmt: skip
    references = pd.DataFrame(
        [row("slow", 0.8, 9.0, latency_noise="a neighbour"), {"name": "broken"}],
        columns=RESULT_COLUMNS,
    )
    retrained = pd.DataFrame(
        [("trial_0", "front", seed, 0.97, 0.98, 360, 9.0, "r") for seed in (1, 2)]
        + [("slow", "reference", seed, 0.90, 0.91, 360, 9.0, "r") for seed in (1, 2)],
        columns=CONFIRMED_COLUMNS,
    )
    return Results(
        path=Path("runs/mine"),
        page=Path("runs/mine/report.html"),
        front=pareto_front(trials, OBJECTIVES),
        references=references,
        label="validation accuracy",
        retrained=retrained,
        best="trial_0",
    )


def test_the_front_and_the_references_are_printed_fastest_first(results, capsys):
    results.print("pets", "onnxruntime:cpu")
    shown = capsys.readouterr().out
    assert "Pareto front of 3 networks, with the references" in shown
    names = [line.split("│")[1].strip() for line in shown.splitlines() if "│" in line]
    first = names[: names.index("slow") + 1]
    assert [name for name in first if name.startswith(("trial", "slow"))] == [
        "trial_1", "trial_0", "slow",
    ]  # fmt: skip
    assert "broken" not in shown
    assert "95.3%" in shown
    line = next(line for line in shown.splitlines() if "trial_1" in line)
    assert "predicted" in line
    assert "0.90 to 1.20" in line
    line = next(line for line in shown.splitlines() if "slow" in line)
    assert "noisy" in line
    assert "Retrained for longer, 2 times each" in shown
    assert "report: runs/mine/report.html" in shown
    assert "best:   runs/mine/best.yaml" in shown


@pytest.mark.parametrize(("batch", "told"), [(1, "one image,"), (4, "4 images a run,")])
def test_the_images_of_a_run_are_told(results, capsys, batch, told):
    replace(results, batch=batch).print("pets", "onnxruntime:cpu")
    assert f"latency: on onnxruntime:cpu, {told}" in " ".join(capsys.readouterr().out.split())


def test_estimates_are_shown_beside_scores_that_differ(results, capsys):
    results.print("pets", "onnxruntime:cpu")
    assert "raw" not in capsys.readouterr().out
    rows = results.front.rows.assign(score=results.front.rows["raw_score"] - 0.02)
    smoothed = replace(results, front=replace(results.front, rows=rows))
    smoothed.print("pets", "onnxruntime:cpu")
    shown = capsys.readouterr().out
    line = next(line for line in shown.splitlines() if "trial_0" in line)
    assert ("93.3%" in line, "95.3%" in line) == (True, True)
    assert "as all networks' scores suggest, raw: as estimated" in " ".join(shown.split())
    summary = smoothed.to_dict(3)["pareto"][0]
    assert summary["score"] == pytest.approx(summary["raw_score"] - 0.02)


def test_scores_are_in_percent_if_they_are_accuracies(results, capsys):
    """Those of a supernet are, though its networks have no accuracy of their own."""
    rows = results.front.rows.assign(accuracy=None)
    supernet = replace(results, front=replace(results.front, rows=rows))
    supernet.print("pets", "onnxruntime:cpu")
    shown = capsys.readouterr().out
    assert "95.3%" in shown
    assert "0.9528" not in shown
    assert "98.00%" in shown
    assert "463k" in shown
    replace(supernet, is_accuracy=False).print("pets", "onnxruntime:cpu")
    shown = capsys.readouterr().out
    assert "0.9528" in shown
    assert "95.3%" not in shown
    assert supernet.to_dict(3)["score_is_accuracy"] is True


def test_the_smallest_visible_lead_is_printed(results, capsys):
    results.print("pets", "onnxruntime:cpu")
    shown = capsys.readouterr().out
    assert "smallest visible lead" in shown
    # Without noise of training: 1.96 * sqrt((0.98 * 0.02 + 0.91 * 0.09) / 360).
    assert "+7.00 (+3.71 to +10.29)" in shown
    assert "3.29" in shown
    assert results.to_dict(3)["differences"][0]["smallest_lead"] == pytest.approx(0.0329, abs=1e-4)
    assert results.to_dict(3)["differences"][0]["paired"] is False


def test_a_head_start_stands_below_the_retrained_networks(results, capsys):
    replace(results, head_start="Trained weights came first.").print("pets", "onnxruntime:cpu")
    shown = " ".join(capsys.readouterr().out.split())
    assert "Trained weights came first." in shown


def test_deviations_fit_an_ascii_log(results, monkeypatch):
    buffer = io.BytesIO()
    monkeypatch.setattr(
        "sys.stdout", io.TextIOWrapper(buffer, encoding="ascii", write_through=True)
    )
    results.print("pets", "onnxruntime:cpu")
    assert b"98.00% +- 0.00" in buffer.getvalue()


def test_json_holds_the_same(results):
    shown = json.loads(json.dumps(results.to_dict(3), allow_nan=False))
    assert shown["completed"] == 3
    assert shown["remark"] == results.remark == ""
    assert sorted(row["name"] for row in shown["pareto"]) == ["trial_0", "trial_1"]
    assert [row["name"] for row in shown["references"]] == ["slow", "broken"]
    assert shown["references"][1]["latency_ms"] is None
    assert {row["name"] for row in shown["confirmed"]} == {"trial_0", "slow"}
    assert shown["hypervolume"] > 0
    assert shown["best"] == "runs/mine/best.yaml"


def test_the_next_commands_stand_at_the_end(results, capsys):
    commands = {"train": "python -m nas.train mine", "export": "python -m nas.export mine"}
    replace(results, commands=commands).print("pets", "onnxruntime:cpu")
    shown = capsys.readouterr().out
    assert shown.endswith(
        "best:   runs/mine/best.yaml\n"
        "train:  python -m nas.train mine\n"
        "export: python -m nas.export mine\n"
    )
    assert replace(results, commands=commands).to_dict(3)["next"] == commands
    replace(results, commands=commands, remark="It is easy.").print("digits", "onnxruntime:cpu")
    assert capsys.readouterr().out.endswith("nas.export mine\nIt is easy.\n")


@pytest.mark.parametrize(
    ("device", "file_format"),
    [
        ("onnxruntime:cpu", "onnx"),
        ("http://board:7070/litert:cpu", "tflite"),
        ("http://board:7070", "onnx"),
        ("ncnn:cpu", "ncnn"),
        ("torch:cpu", "torch-export"),
        ("mine.devices:Board", "onnx"),
    ],
)
def test_the_next_commands_follow_from_the_search(device, file_format):
    config = SearchConfig(
        data="/data/my pets", images_per_class=90, device=[device, "openvino:cpu"]
    )
    assert next_commands(Path("runs/mine"), config, 32) == {
        "train": "python -m nas.train runs/mine/best.yaml --data '/data/my pets' "
        "--images-per-class 90 --out runs/mine/trained",
        "export": f"python -m nas.export runs/mine/trained --format {file_format} --lowered "
        f"--device {device}",
    }
    train = next_commands(Path("runs/mine"), SearchConfig(), 32)["train"]
    assert train.endswith("--data digits --resolution 32 --out runs/mine/trained")
