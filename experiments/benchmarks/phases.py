"""A search in this process, with the time of each of its phases; used by other programs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console

from nas.accuracy import PreparedEstimator
from nas.accuracy.fidelity import Images
from nas.search.components import open_components
from nas.search.config import SearchConfig
from nas.search.loop import Search
from nas.space import load_space


def phases(config: SearchConfig, folder: Path) -> Iterator[tuple[str, float]]:
    """Run a search, and yield each phase with its seconds when it has ended.

    Args:
        config: What to search.
        folder: Run directory to create.
    """
    console = Console(stderr=True)
    components = open_components(config, load_space(config.space))
    estimator = components.estimator
    steps: dict[str, Callable[[], object]] = {}
    shown = getattr(estimator, "shown", None)
    if isinstance(shown, Images):
        steps["decoding"] = lambda: shown.prepare("cpu", None)
    if isinstance(estimator, PreparedEstimator):
        steps["preparing the estimator"] = estimator.prepare
    for each in components.devices:
        steps[f"examining {each.name}"] = each.device.prepare
    for phase, step in steps.items():
        yield phase, _seconds(step)
    started = time.perf_counter()
    search = Search.prepare(config, folder, console)
    yield "opening the search", round(time.perf_counter() - started, 1)
    yield "trials", _seconds(lambda: search._run_trials(console))
    yield "retraining", _seconds(lambda: search._retrain(console))
    yield "tables", _seconds(search.tables.save)
    yield "report", _seconds(lambda: search.tables.report(json=False))


def _seconds(step: Callable[[], object]) -> float:
    started = time.perf_counter()
    step()
    return round(time.perf_counter() - started, 1)
