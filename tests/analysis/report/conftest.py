"""A made-up run, and its report in a browser."""

import numpy as np
import pandas as pd
import pytest
import yaml


def run_folder(path, number):
    """A run of networks whose accuracy grows with their depth; trial 0 failed."""
    rng = np.random.default_rng(0)
    depth = rng.integers(2, 9, number)
    latency = depth + rng.random(number)
    trials = pd.DataFrame(
        {
            "number": range(number),
            "state": ["fail"] + ["complete"] * (number - 1),
            "reason": ["the training loss is <nan>"] + [""] * (number - 1),
            "spec_hash": [f"h{i}" for i in range(number)],
            "architecture": [
                "ir_k3_s2_e6_c16 | " + " ".join(["ir_k3.5_s1_e6_c24"] * d) for d in depth
            ],
            "params": 1e6 * depth,
            "madds": 5e7 * depth,
            "accuracy": 0.5 + 0.05 * depth + 0.01 * rng.standard_normal(number),
            "latency_ms": latency,
            "latency_p10_ms": latency - 0.1,
            "latency_p90_ms": latency + 0.1,
            "latency_source": "measured",
            "x.depth": depth,
        }
    )
    trials.loc[0, ["accuracy", "latency_ms"]] = np.nan
    trials["within_limits"] = trials["latency_ms"] < 8.5
    path.mkdir()
    trials.to_csv(path / "trials.csv", index=False)
    trials.iloc[[1]].drop(columns="number").assign(name="mixnet_s").to_csv(
        path / "references.csv", index=False
    )
    config = {"space": "mixnet", "data": "pets", "device": "onnxruntime:cpu", "command": "nas"}
    config["limits"] = {"latency": "8.5ms"}
    (path / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


@pytest.fixture
def opened(chromium):
    """Open the page, offline; what the browser complains of fails the test."""
    complaints, contexts = [], []

    def open_page(file, width=1280, look="light"):
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=look, offline=True
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"file://{file}")
        page.wait_for_selector("body[data-ready=yes]", timeout=60_000)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
