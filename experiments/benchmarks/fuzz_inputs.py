"""The damaged inputs of `experiments.benchmarks.fuzz`: what is made, and which command reads it."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import random
import shutil
import struct
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parents[2]
SPACES = HERE / "search_spaces"
SPACE = """\
schema: mixnas.space/1
name: small
input: {resolution: 32}
variables:
  width: {choice: [16, 24]}
stem: {channels: 8}
stages:
  a:
    stride: 2
    depth: {choice: [1, 2]}
    channels: $width
    kernels: {groups: [1, 3], of: [3, 5, 7]}
    expansion: {choice: [2, 3]}
  b: {stride: 2, depth: {choice: [1, 2]}, channels: 32, kernels: {ladder: [3, 5]}, expansion: 2}
head: {channels: 32}
restrictions: [a.depth + b.depth <= 3]
limits: {params: 4M}
"""
WORDS = [
    "null",
    "true",
    "false",
    "1e999",
    "-1",
    "0",
    ".nan",
    ".inf",
    "10**9",
    "999999999999999999999",
    "[]",
    "{}",
    "''",
    "~",
    "-",
    "?",
    "!",
    "!!python/object/apply:os.system",
    "&a",
    "*a",
    "<<",
    "%YAML",
    "@",
    "`",
    "|",
    ">",
    "2026-11-28",
    "0x1F",
    "0o7",
    "1:30",
    "yes",
    "${HOME}",
    "../../x",
    "µ",
    "\u202e",
    "\x1b[2J",
    "[red]",
    "$x$",
    "\ud7ff",
]
LOADS = "experiments.benchmarks.fuzz_loads"


@dataclass(frozen=True)
class Bases:
    """Valid originals, made once: a complete search, a complete training, tables."""

    run: Path
    training: Path


@dataclass(frozen=True)
class Kind:
    """A kind of input: how many, and how one is made in a folder; it returns a command line."""

    count: int
    make: Callable[[random.Random, Path, Bases], list[str]]


# --- damage -------------------------------------------------------------------------------------


def damaged(rng: random.Random, raw: bytes) -> bytes:
    """Change bytes: flip, cut, repeat, insert, or write large numbers over some."""
    changed = bytearray(raw)
    for _ in range(rng.choice([1, 1, 2, 5, 20])):
        if not changed:
            break
        at = rng.randrange(len(changed))
        length = min(len(changed) - at, rng.choice([1, 2, 8, 64]))
        action = rng.choice(["flip", "cut", "end", "repeat", "insert", "large"])
        if action == "flip":
            changed[at] ^= 1 << rng.randrange(8)
        elif action == "cut":
            del changed[at : at + length]
        elif action == "end":
            del changed[at:]
        elif action == "repeat":
            changed[at:at] = changed[at : at + length] * rng.choice([2, 100])
        elif action == "insert":
            changed[at:at] = rng.randbytes(length)
        else:
            number = rng.choice([2**31 - 1, 2**32 - 1, 2**63 - 1, 10**9, 0])
            changed[at : at + 8] = struct.pack("<Q", number)
    return bytes(changed)


def garbled(rng: random.Random, text: str) -> bytes:
    """Change a text: values, lines, indentation, nesting, aliases; now and then its bytes."""
    if rng.random() < 0.15:
        return damaged(rng, text.encode())
    lines = text.splitlines()
    for _ in range(rng.choice([1, 1, 2, 4])):
        at = rng.randrange(len(lines))
        action = rng.randrange(8)
        if action == 0:
            lines[at] = lines[at].split(":")[0] + ": " + rng.choice(WORDS)
        elif action == 1:
            del lines[at]
        elif action == 2:
            lines.insert(at, lines[rng.randrange(len(lines))])
        elif action == 3:
            lines[at] = " " * rng.randrange(9) + lines[at].strip()
        elif action == 4:
            words = lines[at].split(" ")
            words[rng.randrange(len(words))] = rng.choice(WORDS)
            lines[at] = " ".join(words)
        elif action == 5:
            depth = rng.choice([10, 5_000, 100_000])
            lines.insert(at, "deep: " + rng.choice("[{") * depth)
        elif action == 6:
            bomb = ["b0: &b0 [x, x, x, x, x, x, x, x, x]"]
            bomb += [f"b{i}: &b{i} [{', '.join([f'*b{i - 1}'] * 9)}]" for i in range(1, 12)]
            lines[at:at] = bomb
        else:
            lines[at] = lines[at].replace("1", rng.choice(["1e300", "-7", "11111111111", "0"]))
        lines = lines or [""]
    return "\n".join(lines).encode("utf-8", "surrogatepass")


# --- documents ----------------------------------------------------------------------------------


def space(rng: random.Random, folder: Path, bases: Bases) -> list[str]:
    texts = [SPACE, *(p.read_text(encoding="utf-8") for p in sorted(SPACES.glob("*.yaml")))]
    (folder / "space.yaml").write_bytes(garbled(rng, rng.choice(texts)))
    return ["nas.space", rng.choice(["validate", "show"]), "./space.yaml"]


def spec(rng: random.Random, folder: Path, bases: Bases) -> list[str]:
    files = sorted((SPACES / "reference").glob("*.yaml"))
    text = rng.choice(files).read_text(encoding="utf-8")
    (folder / "network.yaml").write_bytes(garbled(rng, text))
    return ["nas.cost", "./network.yaml", *rng.choice([[], ["--layers"], ["--json"]])]


def recipe(rng: random.Random, folder: Path, bases: Bases) -> list[str]:
    files = sorted((HERE / "experiments" / "recipes").glob("*.yaml"))
    text = rng.choice(files).read_text(encoding="utf-8")
    (folder / "recipe.yaml").write_bytes(garbled(rng, text))
    return [LOADS, "recipe", "./recipe.yaml"]


# --- run directories ----------------------------------------------------------------------------


def run_directory(rng: random.Random, folder: Path, bases: Bases) -> list[str]:
    shutil.copytree(bases.run, folder / "run")
    files = [p for p in sorted((folder / "run").iterdir()) if p.is_file()]
    files = [p for p in files if p.suffix in {".yaml", ".csv", ".db", ".json"}]
    damage(rng, rng.choice(files))
    commands = [
        ["analysis", "pareto", "run"],
        ["analysis", "report", "run"],
        ["analysis", "population", "run"],
        ["analysis", "compare", "run", str(bases.run)],
        ["nas.search", "--resume", "run"],
    ]
    return rng.choice(commands)


def training_directory(rng: random.Random, folder: Path, bases: Bases) -> list[str]:
    shutil.copytree(bases.training, folder / "training")
    files = [p for p in sorted((folder / "training").iterdir()) if p.is_file()]
    damage(rng, rng.choice([p for p in files if p.suffix != ".png"]))
    return ["nas.train", "--resume", "training"]


def damage(rng: random.Random, path: Path) -> None:
    if path.suffix in {".yaml", ".csv", ".json"}:
        text = path.read_text(encoding="utf-8")
        path.write_bytes(garbled(rng, text) if text else b"\x00")
    else:
        path.write_bytes(damaged(rng, path.read_bytes()))


# --- tables -------------------------------------------------------------------------------------


def table(rng: random.Random, folder: Path, bases: Bases) -> list[str]:
    text = (bases.run / "trials.csv").read_text(encoding="utf-8")
    if rng.random() < 0.5:
        (folder / "table.csv").write_bytes(garbled(rng, text))
        return ["analysis", rng.choice(["pareto", "population"]), "table.csv"]
    if rng.random() < 0.5:
        (folder / "table.csv").write_bytes(garbled(rng, text))
        return [LOADS, "table", "table.csv"]
    files = sorted((SPACES / "reference").glob("*.yaml"))[:2]
    networks = [{"spec": str(path), "accuracies": [0.93, 0.94]} for path in files]
    text = json.dumps({"networks": networks}, indent=1)
    (folder / "table.json").write_bytes(garbled(rng, text))
    return [LOADS, "table", "table.json"]


# --- images -------------------------------------------------------------------------------------


def picture(rng: random.Random, suffix: str, side: int = 24) -> bytes:
    pixels = np.random.default_rng(rng.randrange(2**32)).integers(0, 256, (side, side, 3))
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, format=suffix)
    return buffer.getvalue()


def images(rng: random.Random, folder: Path, bases: Bases) -> list[str]:
    suffix = rng.choice(["png", "jpeg", "bmp", "tiff", "gif", "webp", "ppm"])
    for name in ("cat", "dog"):
        (folder / "data" / name).mkdir(parents=True)
        for index in range(10):
            raw = picture(rng, suffix)
            if index < rng.choice([1, 3, 10]):
                raw = damaged(rng, raw)
            (folder / "data" / name / f"{index}.{suffix}").write_bytes(raw)
    return [LOADS, "data", "./data"]


def arrays(rng: random.Random, folder: Path, bases: Bases) -> list[str]:
    labels = np.arange(60) % 3
    buffer = io.BytesIO()
    write = rng.choice([np.savez, np.savez_compressed])
    if rng.random() < 0.2:
        labels = labels * 10 ** rng.choice([3, 9, 15])
    write(buffer, images=np.zeros((60, 8, 8, 3), np.uint8), labels=labels)
    raw = buffer.getvalue()
    (folder / "set.npz").write_bytes(raw if rng.random() < 0.1 else damaged(rng, raw))
    return [LOADS, "data", "./set.npz"]


def idx(rng: random.Random, folder: Path, bases: Bases) -> list[str]:
    (folder / "data").mkdir()
    for part in ("train", "t10k"):
        pixels = struct.pack(">BBBBIII", 0, 0, 8, 3, 60, 8, 8) + bytes(60 * 64)
        labels = struct.pack(">BBBBI", 0, 0, 8, 1, 60) + bytes(i % 3 for i in range(60))
        for kind, raw in (
            (f"{part}-images-idx3-ubyte", pixels),
            (f"{part}-labels-idx1-ubyte", labels),
        ):
            changed = header_or_body(rng, raw, 16) if rng.random() < 0.6 else raw
            if rng.random() < 0.3:
                (folder / "data" / f"{kind}.gz").write_bytes(gzip.compress(changed))
            else:
                (folder / "data" / kind).write_bytes(changed)
    return [LOADS, "data", "./data"]


def header_or_body(rng: random.Random, raw: bytes, header: int) -> bytes:
    if rng.random() < 0.7:
        return damaged(rng, raw[:header]) + raw[header:]
    return damaged(rng, raw)


def cifar(rng: random.Random, folder: Path, bases: Bases) -> list[str]:
    (folder / "data").mkdir()
    batch = {b"data": np.zeros((20, 3072), np.uint8), b"labels": [i % 10 for i in range(20)]}
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    meta = {b"label_names": [f"c{i}".encode() for i in range(10)]}
    for name, value in [*((name, batch) for name in names), ("batches.meta", meta)]:
        raw = pickle.dumps(value, protocol=rng.choice([2, 4]))
        changed = header_or_body(rng, raw, 200) if rng.random() < 0.4 else raw
        (folder / "data" / name).write_bytes(changed)
    return [LOADS, "data", "./data"]


def shards(rng: random.Random, folder: Path, bases: Bases) -> list[str]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for index in range(24):
            for suffix, raw in (("png", picture(rng, "png", 8)), ("cls", str(index % 2).encode())):
                member = tarfile.TarInfo(f"{index:04}.{suffix}")
                member.size = len(raw)
                tar.addfile(member, io.BytesIO(raw))
    (folder / "train-000.tar").write_bytes(damaged(rng, buffer.getvalue()))
    return [LOADS, "data", "./train-000.tar"]


def weights(rng: random.Random, folder: Path, bases: Bases) -> list[str]:
    raw = (bases.training / "weights.safetensors").read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    (folder / "w.safetensors").write_bytes(header_or_body(rng, raw, 8 + size))
    network = str(bases.training / "network.yaml")
    return ["nas.export", network, "--weights", "w.safetensors", "--out", "out"]


KINDS = {
    "space YAML": Kind(320, space),
    "network YAML": Kind(200, spec),
    "recipe YAML": Kind(100, recipe),
    "run directory": Kind(350, run_directory),
    "training directory": Kind(100, training_directory),
    "table": Kind(180, table),
    "images": Kind(200, images),
    ".npz": Kind(120, arrays),
    "IDX": Kind(90, idx),
    "CIFAR pickles": Kind(120, cifar),
    "shards": Kind(60, shards),
    "weights": Kind(60, weights),
}
FOR_THE_AGENT = 100


def build(folder: Path, run: Callable[[list[str], Path], None]) -> Bases:
    """Make the originals by the commands themselves."""
    (folder / "small.yaml").write_text(SPACE, encoding="utf-8")
    words = ["nas.search", "--space", "./small.yaml", "--trials", "6", "--sampler", "random"]
    words += ["--estimator", "zero-cost:madds", "--reference", "none", "--retrain", "images=600"]
    words += ["--out", "run", "--workers", "1", "--on", "cpu"]
    run(words, folder)
    best = ["nas.train", "run/best.yaml", "--data", "digits", "--set", "epochs=1"]
    run([*best, "--out", "training", "--on", "cpu"], folder)
    return Bases(folder / "run", folder / "training")


if __name__ == "__main__":
    sys.exit("run experiments.benchmarks.fuzz")
