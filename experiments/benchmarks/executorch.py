"""Latency in ExecuTorch, PyTorch's runtime for phones, by the forms of networks and by kernel size.

    python -m experiments.benchmarks.executorch --models FOLDER [--threads 1 2] [--rounds 30]
                                                [--record]

It runs in an environment of its own, since ExecuTorch wants a torch of its own; see "ExecuTorch" in
docs/devices.md. FOLDER keeps the exported models: with them there, a run measures at once, so a
first one with ``--rounds 1`` on a busy machine leaves little to do on a quiet one.

Networks are exported by torch.export, given to the XNNPACK delegate, and run by ExecuTorch's Python
runtime. Four networks in the forms of `nas.latency.deployment` are timed in turns, and their
outputs are compared with those of the torch module as trained. The delegate does not take
torch's split of the channels, of which a mixed convolution has one; such a network falls into many
parts with copies between them. So splits are written as slices, which the delegate takes
(`nas.export --format torch-export` does so, too), and MixNets as trained are exported once more,
with splits as torch writes them. "Outside" is the number
of operators that are not delegated.

Expected before the first run: XNNPACK, which LiteRT runs as well, has depthwise kernels of at most
25 taps. So the time of a tap should jump beyond 5x5, as in LiteRT; MixNets should be fastest with
large kernels as sums ("phases" or "slices with phases"), with 0.5 to 0.7 times the latency as
trained; and EfficientNet-B0 and MobileNetV2, which have no kernel beyond 5x5, have one form only.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.benchmarks.common import record
from nas.errors import MixnasError, UnrunnableError, reason_of
from nas.files import write_atomic
from nas.latency.deployment import SIMPLE_RULES, TRAINED
from nas.latency.parity import TOLERANCE, check_outputs, difference
from nas.latency.protocol import medians_in_turns, warm_up
from nas.latency.runtimes.base import Program, TimedRun, noise
from nas.latency.tuning import depthwise_curve
from nas.latency.weights import realistic_weights
from nas.lowering import lower
from nas.machine import machine_for, machine_name, pinned
from nas.spec import load_network
from nas.torch_model import to_loaded_module, with_slices

NETWORKS = ("mixnet_s", "mixnet_m", "efficientnet_b0", "mobilenet_v2")
BASE = "efficientnet_b0, as trained"  # to whose times those of other networks are related
SPLITS = ("slices", "torch's split")  # ways to write the splits of channels
RUNS = 8
SETTLE = 2
WARM_SECONDS = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, required=True, help="folder of exported models")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--record", action="store_true", help="write experiments/results/")
    arguments = parser.parse_args()
    arguments.models.mkdir(parents=True, exist_ok=True)
    found = {}
    for threads in arguments.threads:
        # The number of threads can be set once only, before the first model is loaded.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, context) as pool:
            job = pool.submit(measured, arguments.models, threads, arguments.rounds)
            found[str(threads)] = job.result()
    packages = ("executorch", "torch", "torchao", "numpy")
    record("executorch", {"batch": 1, "by_threads": found}, *packages, write=arguments.record)


def measured(folder: Path, threads: int, rounds: int) -> dict[str, Any]:
    """Return all that is measured with a number of threads."""
    runtime = ExecuTorch(folder, threads, SPLITS[0])
    with machine_for("measuring"), pinned(threads, alone=False):
        return {
            "check": outcome_of_check(runtime),
            "depthwise_ms": depthwise_curve(runtime),
            "networks": compare_networks(folder, threads, rounds),
        }


class ExecuTorch:
    """Runs networks in ExecuTorch's Python runtime; a `Runtime`.

    Attributes:
        split: How splits of the channels are written; one of `SPLITS`.
    """

    name = "executorch:cpu"
    pins_threads = False
    tunable = True
    model_format = None
    batch = 1

    def __init__(self, folder: Path, threads: int, split: str) -> None:
        """Open the runtime; all of a process must have the same number of threads.

        Args:
            folder: Keeps exported models.
            threads: Number of threads.
            split: See the attribute.

        Raises:
            MixnasError: If ExecuTorch does not take the number of threads.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its interface is experimental
            from executorch.extension.pybindings import portable_lib as library
        if library._threadpool_get_thread_count() != threads:
            library._unsafe_reset_threadpool(threads)
        if library._threadpool_get_thread_count() != threads:
            raise MixnasError(f"ExecuTorch does not run with {threads} threads")
        self.version = f"executorch {version('executorch')}"
        self.machine = machine_name()
        self.threads = threads
        self.split = split
        self._folder = folder
        self._library = library

    def load(self, program: Program) -> TimedRun:
        """See `Runtime.load`."""
        images = noise(self.batch, program.shape)
        method, given = self._ready(program, images)

        def run() -> float:
            method.set_inputs([given])  # their memory may have been used again
            start = time.perf_counter_ns()
            method.execute()
            return (time.perf_counter_ns() - start) / 1e6

        return run

    def load_model(self, model: bytes) -> TimedRun:
        """See `Runtime.load_model`."""
        raise MixnasError(f"{self.name} runs layer trees; it takes no models in a file format")

    def outputs(self, program: Program, images: np.ndarray) -> np.ndarray:
        """See `Runtime.outputs`."""
        method, given = self._ready(program, images)
        try:
            method.set_inputs([given])
            method.execute()
        except RuntimeError as error:
            raise UnrunnableError(f"ExecuTorch cannot run it: {reason_of(error)}") from None
        return np.array(method.get_outputs()[0])

    def report(self, program: Program) -> dict[str, Any]:
        """Return what `exported` reports of a network that was loaded."""
        report: dict[str, Any] = json.loads(self._paths(program, self.batch)[1].read_text("utf-8"))
        return report

    def _paths(self, program: Program, batch: int) -> tuple[Path, Path]:
        told = [program.tree, program.shape, batch, self.split, self.version, torch.__version__]
        key = hashlib.sha256(repr(told).encode())
        for name, values in sorted(program.weights.items()):
            key.update(name.encode() + values.tobytes())
        path = self._folder / key.hexdigest()[:24]
        return path.with_suffix(".pte"), path.with_suffix(".json")

    def _ready(self, program: Program, images: np.ndarray) -> tuple[Any, torch.Tensor]:
        """Return a loaded method of the runtime, and its images."""
        given = torch.from_numpy(images)
        if self.split == "slices":  # XNNPACK's layout; ExecuTorch 1.5 refuses to split it
            given = given.to(memory_format=torch.channels_last)
        model, report = self._paths(program, len(images))
        if not report.exists():
            try:
                content, told = exported(program, given, self.split)
            except Exception as error:  # of many kinds
                raise UnrunnableError(f"cannot be exported: {reason_of(error)}") from error
            model.write_bytes(content)
            write_atomic(report, json.dumps(told, indent=1) + "\n")
        try:
            loaded = self._library._load_program(str(model))
            return loaded.load_method("forward"), given
        except RuntimeError as error:
            raise UnrunnableError(f"ExecuTorch rejects the model: {reason_of(error)}") from None


def exported(program: Program, images: torch.Tensor, split: str) -> tuple[bytes, dict[str, Any]]:
    """Export a network for ExecuTorch with the XNNPACK delegate.

    Args:
        program: The network.
        images: Images of the shape and the memory format of those that it will run on.
        split: How splits of the channels are written; one of `SPLITS`.

    Returns:
        The model, and a report: bytes of the model, number of delegated parts, and the operators
        outside of them with their numbers.
    """
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    module = to_loaded_module(program.tree, program.weights)
    whole = torch.export.export(module, (images,))
    if split == "slices":
        whole = with_slices(whole)
    edge = to_edge_transform_and_lower(whole, partitioner=[XnnpackPartitioner()])
    names = [
        str(getattr(node.target, "__name__", node.target))
        for node in edge.exported_program().graph.nodes
        if node.op == "call_function"
    ]
    content = bytes(edge.to_executorch().buffer)
    parts = names.count("executorch_call_delegate")
    outside = Counter(set_apart(names))
    return content, {"bytes": len(content), "parts": parts, "outside": dict(outside)}


def set_apart(names: Sequence[str]) -> list[str]:
    """Return the names of operators that are not delegated, of all the calls in a graph."""
    return [name for name in names if name not in ("executorch_call_delegate", "getitem")]


def outcome_of_check(runtime: ExecuTorch) -> str:
    """Return whether the network with every kind of layer has the outputs that it should have."""
    try:
        check_outputs(runtime)
    except MixnasError as error:
        return str(error)
    return f"all outputs agree to {TOLERANCE:.0e}"


def forms_of(name: str) -> dict[str, Program]:
    """Return the forms of a network that differ, by name; as trained first."""
    spec = load_network(name)
    tree, shape = spec.tree(), spec.in_shape
    weights = realistic_weights(tree)
    found: dict[str, tuple[str, Program]] = {}
    for form, rule in SIMPLE_RULES.items():
        lowered, lowered_weights = lower(tree, shape, weights, rule)
        found.setdefault(repr(lowered), (form, Program(lowered, shape, lowered_weights)))
    return dict(found.values())


def compare_networks(folder: Path, threads: int, rounds: int) -> list[dict[str, Any]]:
    """Return a row for every form of every network, all timed in turns."""
    runs: dict[str, TimedRun] = {}
    rows: dict[str, dict[str, Any]] = {}
    for name in NETWORKS:
        right = torch_outputs(name)
        forms = forms_of(name)
        for form, program in forms.items():
            splits = SPLITS if form == TRAINED and has_slices(program) else SPLITS[:1]
            for split in splits:
                runtime = ExecuTorch(folder, threads, split)
                label = f"{name}, {form}" + (f", {split}" if split != SPLITS[0] else "")
                found = runtime.outputs(program, noise(runtime.batch, program.shape))
                differs = difference(found, right)
                if not differs <= TOLERANCE:
                    raise MixnasError(f"{label}: outputs differ by {differs:.1e} from torch's")
                runs[label] = runtime.load(program)
                told = {"network": name, "form": form, "split": split}
                rows[label] = told | runtime.report(program) | {"difference": float(differs)}
    for run in runs.values():
        warm_up(run, WARM_SECONDS)
    medians = {k: np.array(v) for k, v in medians_in_turns(runs, rounds, RUNS, SETTLE).items()}
    base = medians[BASE]
    for label, row in rows.items():
        # The machine's speed varies between rounds, so ratios are formed within each round.
        own = medians[f"{row['network']}, {TRAINED}"]
        row["ms"] = round(float(np.median(base) * np.median(medians[label] / base)), 3)
        row["over_trained"] = round(float(np.median(medians[label] / own)), 3)
        show(label, row)
    return list(rows.values())


def has_slices(program: Program) -> bool:
    """Return whether parts of a network act on slices of the channels."""
    return any(kind in repr(program.tree) for kind in ("MixConv(", "Slices("))


def torch_outputs(name: str) -> np.ndarray:
    """Return the outputs of a network as trained, by torch."""
    spec = load_network(name)
    module = to_loaded_module(spec.tree(), realistic_weights(spec.tree()))
    with torch.inference_mode():
        outputs: np.ndarray = module(torch.from_numpy(noise(1, spec.in_shape))).numpy()
    return outputs


def show(label: str, row: dict[str, Any]) -> None:
    outside = sum(row["outside"].values())
    print(
        f"{label:48} {row['ms']:8.2f} ms  {row['over_trained']:5.2f} of as trained  "
        f"{row['parts']:3} parts, {outside:3} outside  difference {row['difference']:.0e}",
        flush=True,
    )


if __name__ == "__main__":
    main()
