"""Run time of the analysis of large populations.

    python -m experiments.benchmarks.analysis_scale [--record]

A million networks as a table: their distribution, front, progress, and the best values of a
variable; then all that `pareto` and `population` compute of them, from a Parquet file on. Then
the report of a search of ten thousand networks of `mixnet`, with synthetic accuracies and
latencies: its size and, if playwright and Chromium are available, the response time of the page,
from an event until the browser has drawn the next frame.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import yaml

from analysis.commands.fronts import fronts
from analysis.figures.population import population_figures
from analysis.figures.style import save_all
from analysis.read.population import read_population
from analysis.report.page import write_report
from analysis.statistics.best_values import best_value, winners
from analysis.statistics.distributions import edf, ks_test
from analysis.statistics.fronts import pareto_front
from analysis.statistics.indicators import progress
from analysis.statistics.population_card import cards
from experiments.benchmarks.common import record
from nas.formats.arch_string import arch_string
from nas.limits import parse_limits
from nas.space import load_space, sample
from nas.space.rows import VARIABLE_PREFIX

ROWS = 1_000_000
TRIALS = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true", help="write experiments/results/")
    arguments = parser.parse_args()
    seconds = {f"{name}, {ROWS:,} rows": _timed(what) for name, what in _statistics().items()}
    with tempfile.TemporaryDirectory() as folder:
        for name, what in _commands(Path(folder)).items():
            seconds[f"{name}, {ROWS:,} rows"] = _timed(what)
        path = Path(folder) / "run"
        _write_run(path)
        seconds[f"report of {TRIALS:,} trials"] = _timed(lambda: write_report(path))
        size = (path / "report.html").stat().st_size
        waits = _waits(path / "report.html")
    for name, took in seconds.items():
        print(f"{name:40} {took:6.2f} s")
    for name, took in waits.items():
        print(f"{'page response: ' + name:40} {took:6.0f} ms")
    print(f"report.html {size / 1e6:.2f} MB")
    packages = ("pandas", "numpy", "scipy", "moocore", "matplotlib", "plotly")
    result = {"seconds": seconds, "waits_ms": waits, "report_bytes": size}
    record("analysis_scale", result, *packages, write=arguments.record)


# An action lasts until the frame after it is drawn; the promise gives its time in milliseconds.
ACT = """act => new Promise(done => {
  const begun = performance.now();
  new Function(act)();
  requestAnimationFrame(() => setTimeout(() => done(performance.now() - begun)));
})"""
ACTS = {
    "a filter": "const e = document.getElementById('slowest'); e.value = 4 + Math.random();"
    "e.dispatchEvent(new Event('input'))",
    "sorting": "document.querySelector('th[data-column=madds] button').click()",
    "a page of the table": "document.getElementById('after').click()",
    "dark and light": "document.getElementById('look').click()",
    "a row": "document.querySelectorAll('#rows tr')[Math.floor(25 * Math.random())].click()",
}
REPEATS = 9


def _waits(page_file: Path) -> dict[str, float]:
    """Return the median response times of the page in milliseconds; empty without a browser."""
    chromium = shutil.which("chromium")
    if chromium is None or importlib.util.find_spec("playwright") is None:
        return {}
    from playwright.sync_api import sync_playwright

    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        started = time.perf_counter()
        page.goto(f"file://{page_file}")
        page.wait_for_selector("body[data-ready=yes]", timeout=60_000)
        waits = {"opening": 1000 * (time.perf_counter() - started)}
        for name, act in ACTS.items():
            waits[name] = median(page.evaluate(ACT, act) for _ in range(REPEATS))
        waits["hovering"] = median(_hover(page, number) for number in range(REPEATS))
        browser.close()
    return {name: round(took, 1) for name, took in waits.items()}


def _hover(page: Any, number: int) -> float:
    """Move the mouse to a network of the front; return when the card shows it."""
    at = page.evaluate(
        """number => {
          const plot = document.getElementById('plot'), { xaxis, yaxis } = plot._fullLayout;
          const trace = plot.data[1], i = number % trace.x.length;
          const box = plot.getBoundingClientRect();
          return [box.x + xaxis._offset + xaxis.l2p(trace.x[i]),
                  box.y + yaxis._offset + yaxis.l2p(trace.y[i])];
        }""",
        number,
    )
    page.mouse.move(at[0] + 60, at[1] + 60)
    page.wait_for_timeout(200)
    page.evaluate("() => { document.querySelector('#network h3').textContent = ''; }")
    started = time.perf_counter()
    page.mouse.move(*at)
    page.wait_for_function("() => document.querySelector('#network h3').textContent !== ''")
    return 1000 * (time.perf_counter() - started)


def _timed(what: Callable[[], Any]) -> float:
    started = time.perf_counter()
    what()
    return round(time.perf_counter() - started, 3)


def _statistics() -> dict[str, Callable[[], Any]]:
    rng = np.random.default_rng(0)
    depth = rng.integers(4, 30, ROWS)
    madds = 1e7 * depth * rng.lognormal(0, 0.3, ROWS)
    error = 0.5 * (madds / 1e7) ** -0.2 + 0.02 * rng.standard_normal(ROWS)
    table = pd.DataFrame({"error": error, "madds": madds})
    return {
        "distribution": lambda: edf(error),
        "KS test": lambda: ks_test(error[::2], error[1::2]),
        "front": lambda: pareto_front(table, {"error": "min", "madds": "min"}),
        "best value": lambda: best_value(depth, winners(error)),
        "hypervolume over time": lambda: progress(table, {"error": "min", "madds": "min"}),
    }


def _commands(folder: Path) -> dict[str, Callable[[], Any]]:
    """Return the work of the commands on a million networks, by name."""
    rng = np.random.default_rng(1)
    depth = rng.integers(4, 30, ROWS)
    rows = {
        "x.depth": depth,
        "x.width": rng.choice([16, 24, 32], ROWS),
        "x.op": rng.choice(["mbconv", "dsconv"], ROWS),
        "madds": 1e7 * depth,
        "error": 0.5 / depth + 0.02 * rng.random(ROWS),
    }
    file = folder / "networks.parquet"
    pd.DataFrame(rows).to_parquet(file)
    return {
        "analysis pareto": lambda: fronts([read_population(str(file))], None, []),
        "analysis population": lambda: cards([read_population(str(file))], "madds"),
        "its figures": lambda: save_all(
            population_figures(cards([read_population(str(file))])), folder
        ),
    }


def _write_run(path: Path) -> None:
    """Write a run directory as a search leaves it."""
    path.mkdir()
    space, limits = load_space("mixnet"), parse_limits(["madds=400M"])
    rng = np.random.default_rng(0)
    rows = []
    for number in range(TRIALS):
        drawn = sample(space, Random(number), limits)
        spec, cost = space.decode(drawn.genotype), drawn.cost
        latency = cost.madds / 1e8 + cost.activations / 3e6 + 0.1 * rng.standard_normal()
        accuracy = 0.6 + 6e-10 * cost.madds + 0.02 * rng.standard_normal()
        failed = number % 50 == 0
        rows.append(
            {
                "number": number,
                "state": "fail" if failed else "complete",
                "reason": "the training loss is nan in epoch 1" if failed else "",
                "spec_hash": f"{number:016x}",
                "architecture": arch_string(spec),
                "params": cost.params,
                "madds": cost.madds,
                "activations": cost.activations,
                "accuracy": None if failed else accuracy,
                "score": None if failed else accuracy,
                "latency_ms": latency,
                "latency_p10_ms": 0.97 * latency,
                "latency_p90_ms": 1.04 * latency,
                "latency_source": "measured",
                **{
                    f"{VARIABLE_PREFIX}{name}": label
                    for name, label in space.to_params(drawn.genotype).items()
                },
            }
        )
    pd.DataFrame(rows).to_csv(path / "trials.csv", index=False)
    config = {"space": "mixnet", "data": "made up", "device": "made up", "command": "none"}
    (path / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")


if __name__ == "__main__":
    main()
