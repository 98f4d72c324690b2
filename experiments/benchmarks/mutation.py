"""Small changes of meaning, and whether the quick tests notice them.

    python -m experiments.benchmarks.mutation [-n 300] [--seed 0] [--room latency ...] [--own]
                                              [--record]

cosmic-ray (`pip install 'mixnas[mutation]'`) makes the changes: other operators, comparisons and
numbers, removed loops, negated conditions. Places are drawn evenly from the code of the rooms; what
no test can notice is left out: annotations, ``__all__``, decorators that only cache, and
conditions that guard imports for type checkers. Each mutant is written into a copy of the tree,
and the tests at the mirrored path, then those of its room, then those of the rooms that depend on
it run until one fails. The score is therefore a lower bound of that of the whole suite. Results
are appended to a file (`--log`), from which an interrupted run continues. With `--own`, only the
tests of a mutant's own room run, which takes about half as long and lets more of them live.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from queue import Queue
from typing import Any

from experiments.benchmarks.common import record

HERE = Path(__file__).resolve().parents[2]
ROOMS = {
    "cost": ["nas/cost"],
    "space": ["nas/space"],
    "lowering": ["nas/lowering"],
    "latency": ["nas/latency"],
    "samplers": ["nas/samplers"],
    "study": ["nas/study"],
    "train": ["nas/train"],
    "statistics": ["analysis/statistics"],
}
# Tests of rooms that use a room, tried on mutants that its own tests let live.
ABOVE = {
    "cost": ["tests/test_spec.py", "tests/test_limits.py", "tests/space", "tests/blocks"],
    "space": ["tests/samplers", "tests/test_spec.py"],
    "lowering": ["tests/formats", "tests/latency/test_tuning.py", "tests/torch_model"],
    "latency": ["tests/test_device.py", "tests/test_measure.py", "tests/search/test_trials.py"],
    "samplers": ["tests/study", "tests/search/test_components.py"],
    "study": ["tests/search", "tests/samplers"],
    "train": ["tests/accuracy", "tests/test_accelerators.py"],
    "statistics": ["tests/analysis/figures", "tests/analysis/commands", "tests/analysis/report"],
}
Stage = tuple[str, ...]
GOALS = {"latency": 0.80}
GOAL = 0.85
CACHING = {"cache", "cached_property", "lru_cache", "overload", "override"}
MOST_BYTES = 16 << 30  # of memory that a mutant's tests may map


@dataclass(frozen=True)
class Mutant:
    """One change: an occurrence of an operator of cosmic-ray in a file."""

    room: str
    path: str
    line: int
    column: int
    operator: str
    occurrence: int

    @property
    def name(self) -> str:
        """Return what identifies the change as long as the file stays as it is."""
        return f"{self.path}:{self.line}:{self.column} {self.operator} {self.occurrence}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=300, help="mutants altogether")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--room", nargs="*", choices=sorted(ROOMS), default=sorted(ROOMS))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--own", action="store_true", help="run the tests of a room itself only")
    parser.add_argument("--log", type=Path, default=Path("mutants.jsonl"))
    parser.add_argument("--record", action="store_true")
    arguments = parser.parse_args()
    sample = draw(arguments.room, arguments.n, arguments.seed)
    done = known(arguments.log)
    waiting = [mutant for mutant in sample if mutant.name not in done]
    print(f"{len(sample)} mutants, {len(waiting)} of them to be tried", flush=True)
    with arguments.log.open("a", encoding="utf-8") as log:

        def finish(result: dict[str, Any]) -> None:
            done[result["name"]] = result
            log.write(json.dumps(result) + "\n")
            log.flush()
            print(
                f"{result['outcome']:<9} {result['seconds']:6.1f} s  {result['name']}", flush=True
            )

        try_all(waiting, arguments.workers, arguments.own, finish)
    results = [done[mutant.name] for mutant in sample]
    return report(results, arguments)


def report(results: list[dict[str, Any]], arguments: argparse.Namespace) -> int:
    rooms: defaultdict[str, list[str]] = defaultdict(list)
    for result in results:
        rooms[result["room"]].append(result["outcome"])
    rows = {
        room: {
            "mutants": len(outcomes),
            "killed": sum(outcome != "survived" for outcome in outcomes),
            "goal": GOALS.get(room, GOAL),
        }
        for room, outcomes in sorted(rooms.items())
    }
    for room, row in rows.items():
        share = row["killed"] / row["mutants"]
        print(f"{room:<12} {row['killed']:>4} of {row['mutants']:>4}  {share:.0%}")
    killed = sum(row["killed"] for row in rows.values())
    share = killed / max(1, len(results))
    print(f"{'altogether':<12} {killed:>4} of {len(results):>4}  {share:.0%}")
    survivors = [
        {key: result[key] for key in ("name", "before", "after")}
        for result in results
        if result["outcome"] == "survived"
    ]
    record(
        "mutation",
        {"killed": killed, "mutants": len(results), "rooms": rows, "survivors": survivors},
        "cosmic-ray",
        "pytest",
        write=arguments.record,
    )
    met = all(row["killed"] >= row["goal"] * row["mutants"] for row in rows.values())
    return int(not met or share < GOAL)


def known(log: Path) -> dict[str, dict[str, Any]]:
    """Return the results that an interrupted run has left, by the mutant's name."""
    if not log.exists():
        return {}
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line]
    return {row["name"]: row for row in rows}


# --- which mutants ------------------------------------------------------------------------------


def draw(rooms: list[str], count: int, seed: int) -> list[Mutant]:
    """Draw places evenly from the code of the rooms, and one change at each.

    A place is a position in a file: a comparison with seven replacements counts once.
    """
    places: defaultdict[tuple[str, int, int], list[Mutant]] = defaultdict(list)
    for room in rooms:
        for folder in ROOMS[room]:
            for path in sorted((HERE / folder).rglob("*.py")):
                for mutant in mutants_of(room, path):
                    places[mutant.path, mutant.line, mutant.column].append(mutant)
    rng = random.Random(seed)
    chosen = rng.sample(sorted(places), min(count, len(places)))
    return sorted((rng.choice(places[place]) for place in chosen), key=lambda m: m.name)


def mutants_of(room: str, path: Path) -> Iterator[Mutant]:
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator, operator_names

    source = path.read_text(encoding="utf-8")
    unseen = unnoticeable(source)
    nodes = list(ast_nodes(get_ast(source)))
    for name in sorted(operator_names()):
        operator_class = get_operator(name)
        if operator_class.arguments():
            continue
        operator = operator_class()
        positions = (place for node in nodes for place in operator.mutation_positions(node))
        for occurrence, ((line, column), _) in enumerate(positions):
            if not any(start <= (line, column) < end for start, end in unseen):
                relative = str(path.relative_to(HERE))
                yield Mutant(room, relative, line, column, name.split("/")[-1], occurrence)


def unnoticeable(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return the ranges of a source whose changes have no meaning when the code runs."""
    found: list[ast.expr | ast.stmt] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found += [node.returns] if node.returns else []
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation:
            found.append(node.annotation)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            found.append(node)
        for decorator in getattr(node, "decorator_list", []):
            if getattr(decorator, "id", "") in CACHING:
                found.append(decorator)
    return [
        # The @ of a decorator stands before it.
        (
            (node.lineno, max(0, node.col_offset - 1)),
            (node.end_lineno or node.lineno, node.end_col_offset or 0),
        )
        for node in found
    ]


def mutated(mutant: Mutant) -> str:
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator, operator_names

    name = next(n for n in operator_names() if n.split("/")[-1] == mutant.operator)
    source = (HERE / mutant.path).read_text(encoding="utf-8")
    changed = mutate_code(source, get_operator(name)(), mutant.occurrence)
    if changed is None:
        raise RuntimeError(f"{mutant.name}: nothing was changed")
    return str(changed)


# --- what the tests say of them -----------------------------------------------------------------


def try_all(
    mutants: list[Mutant], workers: int, own: bool, finish: Callable[[dict[str, Any]], None]
) -> None:
    """Run the tests of every mutant, each worker in a copy of the tree of its own."""
    preload()
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        trees: Queue[Path] = Queue()
        for index in range(workers):
            trees.put(copy_of_the_tree(Path(folder) / str(index)))
        usual: dict[Stage, float] = {}

        def attempt(mutant: Mutant) -> dict[str, Any]:
            tree = trees.get()
            try:
                return judge(mutant, tree, usual, own)
            finally:
                trees.put(tree)

        with ThreadPoolExecutor(workers) as pool:
            for future in as_completed([pool.submit(attempt, mutant) for mutant in mutants]):
                finish(future.result())


def preload() -> None:
    """Import what most tests need, once: their processes are forked from this one."""
    import optuna
    import pandas
    import pydantic
    import pytest
    import scipy.stats
    import torch
    import typer

    torch.set_num_threads(1)
    del optuna, pandas, pydantic, pytest, scipy, typer


def copy_of_the_tree(folder: Path) -> Path:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=HERE,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (HERE / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(HERE / name, folder / name)
    return folder


@cache
def stages_at(room: str, path: str, own: bool) -> tuple[Stage, ...]:
    inside = Path(path).relative_to("nas") if path.startswith("nas/") else Path(path)
    home = HERE / "tests" / inside.parent
    stem = {"__main__": "command", "__init__": "init"}.get(inside.stem, inside.stem)
    mirrored = sorted({*home.glob(f"test_{stem}.py"), *home.glob(f"test_{stem}_*.py")})
    folder = str(
        Path("tests")
        / (Path(ROOMS[room][0]).relative_to("nas") if path.startswith("nas/") else ROOMS[room][0])
    )
    near = [str(file.relative_to(HERE)) for file in mirrored]
    above = [] if own else [name for name in ABOVE[room] if (HERE / name).exists()]
    found = [near, [folder], above]
    return tuple(tuple(stage) for stage in found if stage)


def seconds_of(tree: Path, stage: tuple[str, ...]) -> float:
    """Return how long the tests of a stage take without a change; they must pass."""
    started = time.perf_counter()
    code = run_tests(tree, stage, 1_800)
    if code:
        raise SystemExit(f"without any change, pytest {' '.join(stage)} ends with {code}")
    return time.perf_counter() - started


def judge(mutant: Mutant, tree: Path, usual: dict[Stage, float], own: bool) -> dict[str, Any]:
    """Return what the tests say of a mutant.

    Args:
        mutant: The change.
        tree: A copy of the tree, which is unchanged again afterwards.
        usual: Seconds that stages take without a change; those that are missing are measured.
        own: Whether to leave out the tests of the rooms that depend on the mutant's.
    """
    target = tree / mutant.path
    before, after = target.read_text(encoding="utf-8"), mutated(mutant)
    started = time.perf_counter()
    outcome, stage_of_death = "survived", ""
    try:
        for stage in stages_at(mutant.room, mutant.path, own):
            target.write_text(before, encoding="utf-8")
            if stage not in usual:
                usual[stage] = seconds_of(tree, stage)
            target.write_text(after, encoding="utf-8")
            code = run_tests(tree, stage, 4 * usual[stage] + 30)
            if code:
                outcome = "timeout" if code == -signal.SIGKILL else "killed"
                stage_of_death = " ".join(stage)
                break
    finally:
        target.write_text(before, encoding="utf-8")
    lines = [
        pair
        for pair in zip(before.splitlines(), after.splitlines(), strict=False)
        if pair[0] != pair[1]
    ] or [("", "")]
    return {
        "name": mutant.name,
        **asdict(mutant),
        "before": lines[0][0].strip(),
        "after": lines[0][1].strip(),
        "outcome": outcome,
        "by": stage_of_death,
        "seconds": round(time.perf_counter() - started, 1),
    }


def run_tests(tree: Path, files: tuple[str, ...], seconds: float) -> int:
    """Run the quick tests of some files in a process of its own, and return its exit status."""
    child = os.fork()
    if child == 0:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
        os.chdir(tree)
        os.environ.update(PYTHONPATH=str(tree), PYTHONDONTWRITEBYTECODE="1", OMP_NUM_THREADS="1")
        os.environ.pop("MIXNAS_CACHE", None)
        for name in [
            n for n in sys.modules if n.split(".")[0] in {"nas", "analysis", "experiments"}
        ]:
            del sys.modules[name]
        sys.dont_write_bytecode = True
        sys.path[:] = [str(tree), *(p for p in sys.path if Path(p or ".").resolve() != HERE)]
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        import pytest

        words = [
            "-x",
            "-q",
            "-m",
            "not slow and not gpu",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:xdist",
            "--ignore-glob=*_browser.py",  # a browser maps more memory than is allowed here
        ]
        os._exit(int(pytest.main([*words, *files])))
    until = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            clear(child)
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            clear(child)
            os.waitpid(child, 0)
            return -signal.SIGKILL
        time.sleep(0.05)


def clear(group: int) -> None:
    """End whatever the tests have started and left."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    sys.exit(main())
