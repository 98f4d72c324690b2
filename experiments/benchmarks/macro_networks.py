"""Write NAS-Bench-Macro as a table that ``nas.rank`` reads (.json), or ``analysis`` (.csv).

    NAS_BENCH_MACRO=nas-bench-macro_cifar10.json python -m experiments.benchmarks.macro_networks OUT

The networks (Su et al. 2021, MCT-NAS) take 32x32 images: a 3x3 stem of 32 channels, eight layers in
stages of 2, 3 and 3 with 64, 128 and 256 channels, a 1x1 head of 1280. A layer is the identity (a
1x1 convolution with BN where the shape changes), or a MobileNetV2 block with kernel 3 and expansion
3, or kernel 5 and expansion 6. Counts equal the table's own.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from nas.accuracy.table import TrainedNetwork
from nas.blocks import Block, ConvBlock, MBConv
from nas.cost import count
from nas.errors import MixnasError
from nas.files import write_atomic
from nas.formats.arch_string import arch_string
from nas.spec import Head, Input, NetworkSpec, Stem

MACRO = "NAS_BENCH_MACRO"
"""The environment variable with the path of NAS-Bench-Macro's table."""
STAGES = ((2, 64), (3, 128), (3, 256))


def macro_network(code: str) -> NetworkSpec:
    """Return the network of a code: eight digits, 0 to 2."""
    digits = iter(code)
    stages = tuple(
        tuple(
            block
            for position in range(layers)
            if (block := _block(next(digits), channels, position)) is not None
        )
        for layers, channels in STAGES
    )
    return NetworkSpec(
        stem=Stem(channels=32, stride=1),
        stages=stages,
        head=Head(channels=1280),
        input=Input(resolution=32),
        num_classes=10,
        name=code,
    )


def _block(digit: str, channels: int, position: int) -> Block | None:
    stride = 2 if position == 0 else 1
    if digit == "0":
        if position:
            return None
        return ConvBlock(channels=channels, stride=2, kernels=(1,), activation="identity")
    kernel, expansion = (3, 3) if digit == "1" else (5, 6)
    return MBConv(channels=channels, stride=stride, kernels=(kernel,), expansion=expansion)


def read_macro(path: Path | None = None) -> dict[str, Any]:
    """Return the table by code, from a path or that of the environment variable.

    Raises:
        MixnasError: If no path is given.
    """
    if path is None:
        if MACRO not in os.environ:
            raise MixnasError(
                f"the table of NAS-Bench-Macro is wanted: set {MACRO} to the path of "
                "nas-bench-macro_cifar10.json from https://github.com/xiusu/NAS-Bench-Macro"
            )
        path = Path(os.environ[MACRO])
    table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return table


def networks(table: dict[str, Any]) -> list[TrainedNetwork]:
    """Return the networks of the table with their test accuracies, in the order of the codes.

    Raises:
        ValueError: If a network's multiply-adds or parameters differ from those in the table.
    """
    found = []
    for code, row in sorted(table.items()):
        spec = macro_network(code)
        cost = count(spec)
        if (cost.madds, cost.params) != (row["flops"], row["params"]):
            raise ValueError(
                f"{code} counts {cost.madds} MAdds and {cost.params} parameters, the table has "
                f"{row['flops']} and {row['params']}"
            )
        found.append(TrainedNetwork(spec, tuple(value / 100 for value in row["test_acc"])))
    return found


LAYERS = ("identity", "MB3_K3", "MB6_K5")


def population(found: list[TrainedNetwork]) -> pd.DataFrame:
    """Return the networks as rows: a variable for every layer, accuracy, costs, architecture."""
    rows = []
    for network in found:
        code, cost = network.spec.name, count(network.spec)
        layers = {f"x.layer{i}": LAYERS[int(digit)] for i, digit in enumerate(code, start=1)}
        last = LAYERS[2] in (layers["x.layer6"], layers["x.layer7"], layers["x.layer8"])
        rows.append(
            {
                "name": code,
                **layers,
                "accuracy": network.accuracy,
                "madds": cost.madds,
                "params": cost.params,
                "activations": cost.activations,
                "architecture": arch_string(network.spec),
                "last stage": "with MB6_K5" if last else "without MB6_K5",
            }
        )
    return pd.DataFrame(rows)


def main() -> None:
    found = networks(read_macro())
    out = Path(sys.argv[1])
    if out.suffix == ".csv":
        write_atomic(out, population(found).to_csv(index=False))
    else:
        rows = [{"spec": row.spec.to_dict(), "accuracies": row.accuracies} for row in found]
        write_atomic(out, json.dumps({"networks": rows}))
    print(f"{len(found)} networks: {out}")


if __name__ == "__main__":
    main()
