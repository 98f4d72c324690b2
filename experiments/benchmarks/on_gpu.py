"""mixnas on a GPU: throughput, latency and exact resumption, each part on its own.

    python -m experiments.benchmarks.on_gpu [--out FOLDER] [--parts training latency ...] [--tiny]

Runs in a few minutes on one H100 and downloads nothing. Besides torch, it needs the ``search``
extra; where that cannot be installed, these wheels suffice: pydantic, pydantic-core,
annotated-types, typing-inspection, PyYAML, platformdirs, filelock, kornia, kornia-rs,
pytorch-optimizer, optuna, alembic, SQLAlchemy, moocore, plotly, jinja2. timm's networks are
compared if timm is installed, ONNX Runtime on CUDA if its build has that provider.

Every part runs in a process of its own, so that a failure costs that part alone. ``--tiny`` runs
all parts on the CPU with little work, as a test of this program. The result is printed as tables
and written to FOLDER/on_gpu.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from experiments.benchmarks.gpu_parts import PARTS, SECONDS

PATIENCE = 5  # times the limit of each part, for processors that do other things meanwhile


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/on_gpu"))
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--tiny", action="store_true", help="run on the CPU, with little work")
    parser.add_argument("--part", choices=list(PARTS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        for figures in PARTS[arguments.part](arguments.tiny):
            print(json.dumps(figures), flush=True)
        return 0
    arguments.out.mkdir(parents=True, exist_ok=True)
    parts: dict[str, Any] = {}
    for part in arguments.parts:
        parts[part] = run_part(part, arguments.tiny)
        show(part, parts[part])
        # After every part, so that what was measured outlives whatever comes later.
        text = json.dumps({"machine": machine(arguments.tiny), "parts": parts}, indent=2) + "\n"
        (arguments.out / "on_gpu.json").write_text(text, encoding="utf-8")
    return int(any("error" in part for part in parts.values()))


def machine(tiny: bool) -> dict[str, Any]:
    """Return the machine and the versions behind the results."""
    import torch

    from nas.machine import machine_name, usable_cores

    found: dict[str, Any] = {
        "processor": machine_name(),
        "cores": usable_cores(),
        "torch": torch.__version__,
        "python": sys.version.split()[0],
    }
    if not tiny:
        found["gpu"] = torch.cuda.get_device_name()
        found["cuda"] = torch.version.cuda
    return found


def run_part(part: str, tiny: bool) -> dict[str, Any]:
    """Run one part in a separate process; return its rows, and the error, if any.

    Rows that came before an error or the end of the time are kept.
    """
    words = [sys.executable, "-m", "experiments.benchmarks.on_gpu", "--part", part]
    limit = SECONDS[part] * (PATIENCE if tiny else 1)
    started = time.perf_counter()
    # A cache of its own: nothing is known of the device, and no other process is waited for.
    with tempfile.TemporaryDirectory() as cache, tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(
            [*words, *(["--tiny"] if tiny else [])],
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "MIXNAS_CACHE": cache},
        )
        try:
            _, said = process.communicate(timeout=limit)
            error = "" if process.returncode == 0 else said[-3_000:] or "no message"
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            error = f"not finished after {limit:.0f} s"
        out.seek(0)
        rows = [json.loads(line) for line in out if line.startswith("{")]
    found = {"seconds": round(time.perf_counter() - started, 1), "rows": rows}
    return {**found, "error": error} if error else found


def show(part: str, found: dict[str, Any]) -> None:
    """Print a part's rows as a table."""
    print(f"\n{part} ({found['seconds']} s)", flush=True)
    names = list(dict.fromkeys(name for row in found["rows"] for name in row))
    shown = [dict(zip(names, names, strict=True)), *found["rows"]]
    widths = [max(len(str(row.get(name, ""))) for row in shown) for name in names]
    for row in shown if names else []:
        cells = (str(row.get(n, "")).rjust(w) for n, w in zip(names, widths, strict=True))
        print("  " + "  ".join(cells))
    if "error" in found:
        print(found["error"])


if __name__ == "__main__":
    sys.exit(main())
