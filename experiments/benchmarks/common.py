"""Shared by the benchmark programs: conditions, tables and records."""

from __future__ import annotations

import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nas.imports import installed_version
from nas.machine import machine_name, usable_cores

RESULTS = Path(__file__).parent.parent / "results"


def conditions(*packages: str) -> dict[str, Any]:
    """Return the conditions under which a result was measured."""
    spec = sys.modules["__main__"].__spec__
    name = spec.name if spec else Path(sys.argv[0]).name
    return {
        # Paths on the machine are not recorded.
        "command": shlex.join(["python", "-m", name, *map(_without_folders, sys.argv[1:])]),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine_name(),
        "cores": usable_cores(),
        "python": platform.python_version(),
        # Nothing is lost for want of a package.
        "versions": {p: v for p in ("mixnas", *packages) if (v := installed_version(p))},
    }


def _without_folders(word: str) -> str:
    return Path(word).name if word.startswith("/") else word


def run(module: str, *words: object) -> None:
    """Run a command of the package, and show what it prints.

    Raises:
        subprocess.CalledProcessError: If it fails.
    """
    subprocess.run([sys.executable, "-m", module, *map(str, words)], check=True)


def run_or_resume(module: str, out: Path, *words: object, always: Sequence[object] = ()) -> None:
    """Run a search or a training in a directory, or resume the one that was begun there.

    Args:
        module: Name of the command's module.
        out: The directory.
        words: What begins it.
        always: What both commands are given.

    Raises:
        subprocess.CalledProcessError: If it fails.
    """
    begun = any((out / name).is_file() for name in ("config.yaml", "training.yaml"))
    run(module, *(("--resume", out) if begun else (*words, "--out", out)), *always)


def search_devices(
    out: Path, devices: Sequence[str], trials: int, seed: int, budget: str, data: str | None
) -> None:
    """Search `mixnet` for the given devices; every network is measured, and none is retrained.

    All searches share one supernet, whatever their seed.

    Args:
        out: Run directory to create.
        devices: Names of the devices.
        trials: Number of trials.
        seed: Seed of the sampler.
        budget: Most multiply-adds of a network, such as ``400M``.
        data: Data set; None for the default one.
    """
    run(
        *("nas.search", "--space", "mixnet", "--budget", budget),
        *(word for device in devices for word in ("--device", device)),
        *("--trials", trials, "--seed", seed, "--reference", "none", "--confirm", 0),
        *("--latency", "measured", "--estimator", "supernet:seed=0", "--out", out),
        *(("--data", data) if data else ()),
    )


def recorded(name: str) -> dict[str, Any]:
    """Return the existing record; empty if there is none."""
    path = RESULTS / f"{name}.json"
    if not path.exists():
        return {}
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def record(name: str, result: dict[str, Any], *packages: str, write: bool) -> None:
    """Print a result as JSON, and save it below experiments/results/ if requested."""
    text = json.dumps({**conditions(*packages), **result}, indent=2)
    print(text)
    if write:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
