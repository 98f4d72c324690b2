"""Every format that networks are exported to: its size, and how its outputs agree with torch's.

    python -m experiments.benchmarks.export_formats [--networks mixnet_s mixnet_m] [--record]

Each network, with random weights and normalization statistics of real images, is written in every
format with float32, as trained and lowered, and read again by the tool that the format is for. The
outputs for 16 images of digits are compared at batch sizes of 1, 3, 8 and 16: the difference is the
largest, relative to torch's largest output. Formats with int8 have a table of their own for every
network that is exported (`nas.export --format onnx-int8`).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from experiments.benchmarks.common import record
from nas.errors import MixnasError, reason_of
from nas.export.base import Export
from nas.export.registry import ABOUT, FORMATS, Format
from nas.export.trained import TrainedModel, images_for
from nas.export.writing import write_export
from nas.latency.deployment import SIMPLE_RULES
from nas.spec import load_network
from nas.torch_model import build

IMAGES = 16
READERS = {
    "onnx": "onnxruntime",
    "tflite": "ai-edge-litert",
    "ncnn": "ncnn",
    "openvino": "openvino",
    "torch-export": "torch",
    "pytorch": "torch",
    "timm": "timm",
    "darknet": "opencv-python-headless",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=["mixnet_s", "mixnet_m", "mixnet_l"])
    parser.add_argument("--formats", nargs="+", default=list(READERS))
    parser.add_argument("--record", action="store_true", help="write experiments/results/")
    arguments = parser.parse_args()
    rows = []
    for network in arguments.networks:
        export = prepared(network)
        for name in arguments.formats:
            for row in exported(export, name, FORMATS[name]):
                rows.append({"network": network, "format": name, **row})
                print(line(rows[-1]), flush=True)
    readers = sorted({READERS[name] for name in arguments.formats})
    record("export_formats", {"images": IMAGES, "rows": rows}, *readers, write=arguments.record)


def prepared(network: str) -> Export:
    """Return a network whose normalizations have seen real images."""
    trained = TrainedModel(load_network(network))
    found = images_for(trained, IMAGES)
    assert found is not None
    images, _ = found
    model = build(trained.spec, seed=0).train()
    for norm in model.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.momentum = None  # the mean over all passes
    with torch.no_grad():
        model(images)
    return Export(model.eval(), trained, images=images)


def exported(export: Export, name: str, chosen: Format) -> Iterator[dict[str, Any]]:
    """Yield what comes of a network in a format, as trained and lowered."""
    rules = {"as trained": None, "lowered": SIMPLE_RULES[chosen.rule]}
    for form, choice in rules.items():
        if choice is not None and not chosen.lowers:
            continue
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"network{chosen.endings[0]}"
            given = Export(export.model, export.trained, choice, export.images)
            try:
                told = write_export(given, chosen, path, {})
            except (MixnasError, ModuleNotFoundError) as error:
                yield {"form": form, "problem": reason_of(error)}
                continue
            sizes = {
                file.name.removeprefix("network"): file.stat().st_size
                for file in Path(folder).iterdir()
                if not file.name.endswith(ABOUT)
            }
        yield {
            "form": form,
            "rule": chosen.rule if choice is not None else form,
            "files": sizes,
            "megabytes": round(sum(sizes.values()) / 1e6, 2),
            "largest_relative_difference": told["largest_relative_difference"],
            "same_class": told["same_class"],
            **({"bflops": told["bflops"]} if "bflops" in told else {}),
        }


def line(row: dict[str, Any]) -> str:
    """Return a row as a line of text."""
    start = f"{row['network']:12}{row['format']:14}{row['form']:12}"
    if "problem" in row:
        return f"{start}{row['problem']}"
    return (
        f"{start}{row['megabytes']:7.2f} MB  {row['largest_relative_difference']:.1e}  "
        f"{row['same_class']} of {IMAGES} classes"
    )


if __name__ == "__main__":
    main()
