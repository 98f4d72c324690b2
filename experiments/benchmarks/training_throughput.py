"""Training throughput on the CPU: mixnas' loop against a plain one, in alternation.

    python -m experiments.benchmarks.training_throughput [--network mixnet_s] [--record]

The baseline is a straightforward loop: the same network in torch's default memory format (NCHW),
with plain convolutions and default SGD. Both see the same images of digits, at the same batch size,
in the same process; rounds alternate, and the ratio of their medians is reported.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from experiments.benchmarks.common import record
from nas.data import load_data
from nas.machine import usable_cores
from nas.spec import load_network
from nas.torch_model import SymmetricConv2d, build
from nas.train.batches import Batches
from nas.train.loop import Trainer
from nas.train.recipe import Recipe

TARGET = 2.2
BATCH, RESOLUTION = 64, 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="mixnet_s")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=4, help="steps per round")
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--record", action="store_true", help="write experiments/results/")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    loops = {"plain": plain(arguments.network), "mixnas": ours(arguments.network)}
    rates: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(arguments.rounds):
        for name, step in loops.items():
            started = time.perf_counter()
            for _ in range(arguments.steps):
                step()
            rates[name].append(arguments.steps * BATCH / (time.perf_counter() - started))
    medians = {name: statistics.median(found[1:]) for name, found in rates.items()}
    ratio = medians["mixnas"] / medians["plain"]
    for name, rate in medians.items():
        print(f"{name:8} {rate:7.0f} images a second")
    print(f"ratio    {ratio:7.2f} (at least {TARGET:g})")
    record(
        "training_throughput",
        {
            "network": arguments.network,
            "resolution": RESOLUTION,
            "batch": BATCH,
            "threads": arguments.threads,
            "rounds": arguments.rounds,
            "images_per_second": {name: round(rate, 1) for name, rate in medians.items()},
            "ratio": round(ratio, 3),
            "target": TARGET,
        },
        "torch",
        write=arguments.record,
    )


def ours(network: str) -> Callable[[], None]:
    """Return a step of mixnas' loop."""
    data = load_data("digits").at(RESOLUTION)
    recipe = Recipe(epochs=1_000, batch_size=BATCH)
    model = build(load_network(network).replace(num_classes=10), 0)
    steps = Trainer(model, Batches(data, BATCH, 0), recipe, 0).steps()

    def step() -> None:
        next(steps)

    return step


def plain(network: str) -> Callable[[], None]:
    """Return a step of a loop without mixnas' optimizations."""
    data = load_data("digits").at(RESOLUTION)
    images = data.images["train"].float() / 255
    images = (images - images.mean((0, 2, 3), keepdim=True)) / images.std()
    labels = data.labels["train"]
    model = with_plain_convolutions(build(load_network(network).replace(num_classes=10), 0)).train()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)

    def step() -> None:
        index = torch.randint(0, len(labels), (BATCH,))
        loss = F.cross_entropy(model(images[index]), labels[index])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    return step


def with_plain_convolutions(model: nn.Module) -> nn.Module:
    """Replace mixnas' convolutions, which skip kernel taps that only meet padding, by torch's."""
    for module in model.modules():
        if type(module) is SymmetricConv2d:
            module.__class__ = nn.Conv2d  # type: ignore[assignment]
    return model


if __name__ == "__main__":
    main()
