import re

import pytest

from experiments import deployment_benchmarks
from experiments.benchmark_lines import recorded
from experiments.deployment_benchmarks import (
    executorch,
    int8,
    lowering,
    predictors,
    references,
)

CONDITIONS = {"device": "litert:cpu", "threads": 1}
ORIGIN = {"command": "python -m program", "machine": "AMD EPYC", "cores": 2, "when": "2026-11-29"}


@pytest.fixture
def recorded_as(monkeypatch):
    def put(*results):
        named = {str(number): {**ORIGIN, **result} for number, result in enumerate(results)}
        monkeypatch.setattr(deployment_benchmarks, "all_recorded", lambda pattern: named)

    return put


def test_recorded_results_are_told_by_runtime_and_threads():
    text = "\n".join(lowering())
    assert "| ONNX Runtime, 2 threads | " in text
    assert text.index("| ONNX Runtime, ") < text.index("| LiteRT, 1 thread ")
    assert text.index("| LiteRT, ") < text.index("| OpenVINO, ") < text.index("| ncnn, ")
    result = recorded("lowering_litert_cpu_threads1_batch1")
    whole = f"{result['references']['mixnet_m']['deployed_ms']:.1f}"
    assert re.search(rf"\| LiteRT, 1 thread \| \d\.\d \| {whole} \|", text)  # after the limit
    assert "| ONNX Runtime, 2 threads | " in "\n".join(predictors())


def test_references_that_lose_are_counted(recorded_as):
    rows = [
        {"network": "resnet_18", "ratio": 1.05},
        {"network": "mixnet_s", "ratio": 0.6},
        {"network": "alexnet", "ratio": 1.0},
    ]
    summary = {"networks": 3, "mean_ratio": 0.883, "slower": ["resnet_18"]}
    recorded_as(
        {
            "conditions": CONDITIONS,
            "largest_madds": 2e9,
            "summary": summary,
            "networks": rows,
        }
    )
    text = "\n".join(references())
    assert "of up to 2G multiply-adds" in text
    assert (
        "| LiteRT, 1 thread | 3 | 0.88 | 1 | `mixnet_s` 0.60, `alexnet` 1.00, `resnet_18`" in text
    )
    recorded_as()
    assert list(references()) == []


def test_int8_is_told_beside_fp32(recorded_as):
    row = {
        "network": "mixnet_s",
        "runtime": "openvino:cpu",
        "accuracy": {"fp32": 0.912, "int8": 0.4, "loss_points": 51.2, "loss_points_error": 1.5},
        "steady_ms": {"fp32": 2.5, "int8": 1.25},
        "noise": {"fp32": [], "int8": []},
        "bytes": {"fp32": 9_000_000, "int8": 3_000_000},
    }
    noisy = {**row, "network": "noisy", "noise": {"fp32": [], "int8": ["busy"]}}
    facts = {"calibration_images": 256, "resolution": 48, "epochs": 1.0, "data": "cifar10"}
    recorded_as({**facts, "rows": [row, noisy]})
    text = "\n".join(int8()).replace("\u00a0", " ")
    assert "at 48 px, trained from random weights on `cifar10` for 1 epoch, and" in text
    assert (
        "| `mixnet_s` | OpenVINO | 91.2% → 40.0% | 51.2 ± 1.5 | 2.50 → 1.25 | 9.00 → 3.00 |\n"
        "| `noisy` | OpenVINO | 91.2% → 40.0% | 51.2 ± 1.5 | 2.50 → 1.25 ~ | 9.00 → 3.00 |"
    ) in text


def test_aims_are_told_whether_reached_or_missed():
    text = "\n".join(lowering())
    told = re.findall(
        r"\| ([^|]+) \| ([^|]+) \| ([^|]+) \| (\d\.\d\d) \| (\d\.\d\d) \| (yes|no) \|", text
    )
    assert len(told) == 11
    measured = recorded("lowering_litert_cpu_threads1_batch1")["mixnet_m_over_trained"]
    reached = "yes" if measured <= 0.45 else "no"
    assert (
        *("LiteRT, 1 thread", "`mixnet_m`", "itself as trained"),
        *(f"{measured:.2f}", "0.45", reached),
    ) in told
    for *_, ratio, aim, answer in told:
        if ratio != aim:  # else, what is not shown of the ratio decides
            assert (float(ratio) < float(aim)) == (answer == "yes")


def test_networks_in_executorch_are_told_by_form_and_threads(recorded_as):
    row = {"network": "mixnet_m", "form": "phases", "split": "slices", "ms": 12.345, "parts": 1}
    split = {"form": "as trained", "split": "torch's split", "over_trained": 2.5, "parts": 99}
    by_threads = {"1": {"networks": [{**row, "over_trained": 0.5}, {**row, **split}]}}
    recorded_as({"by_threads": by_threads})
    text = "\n".join(executorch())
    assert "| `mixnet_m` | phases | 1 | 12.35 | 0.50 | 1 |" in text
    assert "| `mixnet_m` | as trained, split as torch does | 1 | 12.35 | 2.50 | 99 |" in text
