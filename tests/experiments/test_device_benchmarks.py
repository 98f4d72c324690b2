"""What the page says about searches for several devices."""

import re

from experiments import device_benchmarks
from experiments.device_benchmarks import two_devices
from tests.experiments.test_deployment_benchmarks import ORIGIN


def test_what_is_lost_on_another_device_is_told(monkeypatch):
    result = {
        **ORIGIN,
        "seeds": 2,
        "kernel_shares": {"a": {"3x3": 0.5, "11x11": 0.5}, "b": {"3x3": 0.9, "5x5": 0.1}},
        "within_latency": {
            "a": [
                {"within_ms": 1.0, "a": [0.9, 0.92], "b": [0.85, 0.85]},
                {"within_ms": 2.0, "a": [0.91, 0.92], "b": [0.92, 0.93]},
            ],
            "b": [{"within_ms": 1.0, "a": [0.8, 0.8], "b": [0.8, 0.8]}],
        },
    }
    monkeypatch.setattr(device_benchmarks, "recorded", lambda name: result)
    text = "\n".join(two_devices())
    assert "| searched for | 3x3 | 5x5 | 11x11 |" in text
    assert "| `b` | 90% | 10% | 0% |" in text
    assert "| `a` | 1.00 ms | 91.0% ± 1.4% | 85.0% ± 0.0% |" in text
    # 5 - 1 and 7 - 1 points, halved: 2 and 3, with a standard error of 0.5.
    assert "by +2.50 ± 0.50 percentage points on `a` and +0.00 ± 0.00 percentage" in text
    # 1.25 ± 0.25; of two seeds, not even five standard errors are more than chance.
    assert re.search(r"mean of both, \+1\.25 ± 0\.25, is no more than chance explains \(", text)
    result["within_latency"]["b"][0]["b"] = [0.9, 0.895]
    assert "+6.12 ± 0.12, is more than chance explains (Student's t with 2 seeds" in "\n".join(
        two_devices()
    )
