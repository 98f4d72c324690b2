"""The quick tests with other versions of Python, each in a fresh environment.

    python -m experiments.benchmarks.python_versions --pythons python3.12 python3.13 [--record]

For every interpreter, the committed state is cloned to an empty folder, and the README's command
for the tests is run there, with that interpreter and without the slow tests.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from experiments.benchmarks.common import RESULTS, record

ROOT = RESULTS.parents[1]
COUNTS = ("passed", "skipped", "failed", "errors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pythons", nargs="+", required=True, help="interpreters")
    parser.add_argument("--record", action="store_true", help="write experiments/results/")
    arguments = parser.parse_args()
    rows = []
    for interpreter in arguments.pythons:
        rows.append(tested(interpreter))
        print(rows[-1], flush=True)
    record("python_versions", {"rows": rows}, "torch", "optuna", "ray", write=arguments.record)


def tested(interpreter: str) -> dict[str, Any]:
    """Run the tests with an interpreter; return its version, and what became of them."""
    version = said(interpreter, "--version").removeprefix("Python ")
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "mixnas"
        said("git", "clone", "--quiet", str(ROOT), str(clone))
        begun = time.perf_counter()
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command(clone, interpreter)],
            cwd=clone,
            env={**variables, "MIXNAS_CACHE": str(Path(folder) / "cache")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    seconds = round(time.perf_counter() - begun)
    print(done.stdout[-4000:], flush=True)
    return {"python": version, **counts(done.stdout), "exit": done.returncode, "seconds": seconds}


def said(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def command(clone: Path, interpreter: str) -> str:
    """Return the README's command for the tests, with an interpreter, and the quick ones alone."""
    readme = (clone / "README.md").read_text(encoding="utf-8")
    line = next(line for line in readme.splitlines() if "-m pytest" in line)
    return line.replace("python3 -m venv", f"{interpreter} -m venv", 1) + " -m 'not slow'"


def counts(output: str) -> dict[str, int]:
    """Return how many tests passed, were skipped, failed or could not be run, by pytest's words.

    Raises:
        SystemExit: If the tests did not come to their end.
    """
    ends = re.findall(r"^=* ?((?:\d+ \w+, )*\d+ \w+) in [\d.]+s", output, re.MULTILINE)
    if not ends:
        raise SystemExit(f"the tests did not come to their end:\n{output[-2000:]}")
    told = {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", ends[-1])}
    return {name: told.get(name, told.get(name.removesuffix("s"), 0)) for name in COUNTS}


if __name__ == "__main__":
    main()
