"""Two thousand damaged inputs: no traceback, no hang, bounded memory, nothing written elsewhere.

    python -m experiments.benchmarks.fuzz [--share 1.0] [--seed 0] [--kind KIND ...] [--record]

Documents, run and training directories with one damaged file, tables, images, headers of arrays,
pickles, shards and weights are given to the commands that read them, and ONNX files to the device
agent. Every command runs in a process and a folder of its own. It must end with exit code 0, 1 or 2
within `LIMIT_S` seconds, print no traceback, take less than 1 GB of memory (its resident set, with
its child processes'), and change no file outside its folder and the cache. Failing inputs are kept
in `--keep`.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import runpy
import secrets
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from experiments.benchmarks.agent_robustness import QUERY, started
from experiments.benchmarks.common import record
from experiments.benchmarks.fuzz_inputs import FOR_THE_AGENT, HERE, KINDS, Bases, build, damaged

LIMIT_S = 120
MOST_MB = 1_000
ONNX_RUNTIME = Path("home/.cache/Microsoft")  # its own records, which it writes when it is loaded
MOST_MAPPED = 16 << 30  # bytes; protects the machine, the limit itself is MOST_MB


@dataclass(frozen=True)
class Outcome:
    """What a command made of one input."""

    kind: str
    number: int
    words: list[str]
    code: int
    seconds: float
    memory_mb: float
    faults: tuple[str, ...]
    message: str


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="share of the inputs to try")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", nargs="*", choices=[*KINDS, "agent"], default=[*KINDS, "agent"])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path, default=Path("fuzz_faults"))
    parser.add_argument("--record", action="store_true")
    arguments = parser.parse_args()
    preload()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        root = Path(name).resolve()
        for folder in ("home", "cache", "tmp", "outside", "base", "inputs"):
            (root / folder).mkdir()
        bases = build(root / "base", lambda words, where: prepare(words, where, root))
        untouched = state(root)
        jobs = [
            (kind, number)
            for kind in arguments.kind
            if kind in KINDS
            for number in range(max(1, round(arguments.share * KINDS[kind].count)))
        ]

        def attempt(job: tuple[str, int]) -> Outcome:
            return try_one(*job, arguments.seed, root, bases, arguments.keep)

        outcomes = []
        with ThreadPoolExecutor(arguments.workers) as pool:
            for outcome in pool.map(attempt, jobs):
                outcomes.append(outcome)
                if outcome.faults:
                    print(f"{outcome.kind} {outcome.number}: {', '.join(outcome.faults)}")
                    print(f"    {' '.join(outcome.words)}\n    {outcome.message}", flush=True)
                elif len(outcomes) % 100 == 0:
                    print(f"{len(outcomes)} of {len(jobs)}", flush=True)
        changed = sorted(set(state(root).items()) ^ set(untouched.items()))
        agent = (
            to_the_agent(round(arguments.share * FOR_THE_AGENT), arguments.seed, root)
            if "agent" in arguments.kind
            else {}
        )
    return report(outcomes, [path for path, _ in changed], agent, arguments)


def report(
    outcomes: list[Outcome],
    changed: list[str],
    agent: dict[str, Any],
    arguments: argparse.Namespace,
) -> int:
    by_kind: defaultdict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        by_kind[outcome.kind].append(outcome)
    rows = {}
    for kind, found in by_kind.items():
        rows[kind] = {
            "inputs": len(found),
            "codes": dict(sorted(Counter(o.code for o in found).items())),
            "faults": dict(Counter(fault for o in found for fault in o.faults)),
            "median_s": round(statistics.median(o.seconds for o in found), 2),
            "longest_s": round(max(o.seconds for o in found), 1),
            "most_mb": round(max(o.memory_mb for o in found)),
        }
        print(f"{kind:<20} {rows[kind]}")
    print(f"{'agent':<20} {agent}")
    print(f"changed outside the inputs' folders: {changed or 'nothing'}")
    faulty = sum(bool(o.faults) for o in outcomes) + agent.get("faults", 0)
    inputs = len(outcomes) + agent.get("inputs", 0)
    print(f"{inputs} inputs, {faulty} with a fault")
    record(
        "fuzz",
        {
            "inputs": inputs,
            "with_a_fault": faulty,
            "changed_outside": changed,
            "most_mb": max((o.memory_mb for o in outcomes), default=0),
            "kinds": rows,
            "agent": agent,
        },
        "torch",
        "pandas",
        "onnxruntime",
        write=arguments.record,
    )
    return int(bool(faulty or changed))


def preload() -> None:
    """Import what the commands need, once: their processes are forked from this one."""
    import numpy
    import optuna
    import pandas
    import pydantic
    import torch
    import typer

    torch.set_num_threads(1)
    del numpy, optuna, pandas, pydantic, typer


def state(root: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of change of every file that no command may touch."""
    own = root / ONNX_RUNTIME
    watched = [path for name in ("home", "outside", "base") for path in (root / name).rglob("*")]
    watched += [path for path in root.iterdir() if path.is_file()]
    found = {}
    for path in watched:
        status = path.lstat()
        if path.is_file() and own not in path.parents:
            found[str(path.relative_to(root))] = (status.st_size, status.st_mtime_ns)
    return found


def prepare(words: list[str], where: Path, root: Path) -> None:
    print("+", *words, flush=True)
    code, seconds, _, log = run(words, where, root, limit=900)
    if code:
        raise SystemExit(f"{words[0]} ended with {code} after {seconds:.0f} s:\n{log[-3_000:]}")


def try_one(kind: str, number: int, seed: int, root: Path, bases: Bases, keep: Path) -> Outcome:
    rng = random.Random(f"{seed} {kind} {number}")
    folder = root / "inputs" / f"{kind.replace(' ', '_').strip('.')}_{number}"
    folder.mkdir()
    words = KINDS[kind].make(rng, folder, bases)
    code, seconds, memory, log = run(words, folder, root, LIMIT_S)
    faults = []
    if code == -signal.SIGKILL:
        faults.append("hang")
    elif code not in (0, 1, 2):
        faults.append(f"exit code {code}")
    if "Traceback (most recent call last)" in log:
        faults.append("traceback")
    if code in (1, 2) and "error: " not in log and "Error: " not in log:
        faults.append("no message")
    if memory > MOST_MB:
        faults.append(f"memory {memory:.0f} MB")
    if faults:
        kept = keep / folder.name
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(folder, kept)
        (kept / "log.txt").write_text(f"{words}\n{log}", encoding="utf-8")
    shutil.rmtree(folder)
    last = [line for line in log.splitlines() if line.strip()]
    message = last[-1][:200] if last else ""
    return Outcome(kind, number, words, code, seconds, memory, tuple(faults), message)


def run(words: list[str], where: Path, root: Path, limit: float) -> tuple[int, float, float, str]:
    """Run ``python -m WORDS`` in a folder; return code, seconds, megabytes and what it printed."""
    log = root / "tmp" / f"log-{secrets.token_hex(8)}"
    began = time.perf_counter()
    child = os.fork()
    if child == 0:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MAPPED, MOST_MAPPED))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.chdir(where)
        os.environ.update(
            HOME=str(root / "home"),
            MIXNAS_CACHE=str(root / "cache"),
            TMPDIR=str(root / "tmp"),
            PYTHONPATH=str(HERE),
            OMP_NUM_THREADS="1",
            PYTHONDONTWRITEBYTECODE="1",
        )
        stream = os.open(log, os.O_CREAT | os.O_RDWR | os.O_TRUNC)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(stream, 1)
        os.dup2(stream, 2)
        sys.argv = words
        code = 0
        try:
            runpy.run_module(words[0], run_name="__main__", alter_sys=True)
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    code, memory = -signal.SIGKILL, 0.0
    while True:
        done, status, usage = os.wait4(child, os.WNOHANG)
        if done:
            code, memory = os.waitstatus_to_exitcode(status), usage.ru_maxrss / 1e3
            break
        if time.perf_counter() - began > limit:
            end(child)
            memory = os.wait4(child, 0)[2].ru_maxrss / 1e3
            break
        time.sleep(0.02)
    end(child)
    text = log.read_text(encoding="utf-8", errors="replace")
    log.unlink()
    return code, time.perf_counter() - began, memory, text


def end(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def to_the_agent(count: int, seed: int, root: Path) -> dict[str, Any]:
    """Send damaged models; each must be refused or measured, and the agent stay as it was."""
    from nas.latency.deployment import program_of
    from nas.latency.runtimes.models import serialized
    from nas.spec import Input, load_network

    rng = random.Random(seed)
    network = load_network("mobilenet_v2").replace(input=Input(resolution=32))
    raw = serialized(program_of(network, None), "onnx", "fp32", 1)
    token = secrets.token_urlsafe(32)
    folder = root / "tmp" / "agent"
    folder.mkdir()
    process, port = started(folder, token)
    answers: Counter[str] = Counter()
    faults = 0
    headers = {"Authorization": f"Bearer {token}"}
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60
        ) as client:
            for _ in range(count):
                body = damaged(rng, raw)
                accepted = client.post(QUERY, content=body, headers={"Content-Type": ""})
                status = accepted.status_code
                if status == 202:
                    path = accepted.headers["location"]
                    while (answer := client.get(path, params={"wait": 20})).status_code == 202:
                        pass
                    status = answer.status_code
                answers[str(status)] += 1
                faults += status >= 500
        memory = psutil.Process(process.pid).memory_info().rss / 1e6
        same = process.poll() is None
    finally:
        process.terminate()
        process.wait()
    tracebacks = (folder / "messages.txt").read_text().count("Traceback")
    return {
        "inputs": count,
        "answers": dict(sorted(answers.items())),
        "tracebacks": tracebacks,
        "memory_mb": round(memory, 1),
        "still_the_same_process": same,
        "faults": faults + tracebacks + (not same) + (memory > MOST_MB),
    }


if __name__ == "__main__":
    sys.exit(main())
