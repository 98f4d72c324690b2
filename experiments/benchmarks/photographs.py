"""A search over a folder of photographs, with the time of its phases.

    python -m experiments.benchmarks.photographs [--images 20000] [--trials 8] [--record]

Makes JPEG files of 500 x 500 pixels in a temporary folder: the scanned digits of scikit-learn,
enlarged, each with a background of smooth noise of its own. They are as expensive to decode as
photographs of their size.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.benchmarks.common import record
from experiments.benchmarks.phases import phases
from nas.data import ImageData, load_data
from nas.data.digits import load_digits
from nas.machine import usable_cores
from nas.search.config import SearchConfig

SIDE = 500  # pixels
QUALITY = 90


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--estimator", default="supernet:images=50000")
    parser.add_argument("--retrained", type=int, default=0, help="networks to retrain")
    parser.add_argument("--record", action="store_true", help="write experiments/results/")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MIXNAS_CACHE"] = f"{folder}/cache"
        photographs = Path(folder) / "photographs"
        started = time.perf_counter()
        size = make(photographs, arguments.images)
        print(f"made {arguments.images} files in {time.perf_counter() - started:.0f} s", flush=True)
        config = SearchConfig(
            space="mixnet",
            limits={"madds": "400M"},
            data=str(photographs),
            estimator=arguments.estimator,
            trials=arguments.trials,
            confirm=arguments.retrained,
            references=["mixnet_s"],
        )
        seconds = dict(phases(config, Path(folder) / "run"))
        side = load_data(str(photographs)).own_side()
    for phase, spent in seconds.items():
        print(f"{phase:<26} {spent:8.1f} s")
    rate = arguments.images / max(seconds["decoding"], 1e-9) / usable_cores()
    print(f"decoding: {rate:.0f} images a second and core")
    record(
        "photographs",
        {
            "images": arguments.images,
            "own_side": side,
            "bytes": size,
            "estimator": arguments.estimator,
            "trials": arguments.trials,
            "seconds": seconds,
            "decoded_per_second_and_core": round(rate, 1),
        },
        "torch",
        "pillow",
        write=arguments.record,
    )
    return 0


def make(folder: Path, count: int) -> int:
    """Write the files, in class folders; return their size in bytes."""
    for label in range(10):
        (folder / str(label)).mkdir(parents=True)
    with ProcessPoolExecutor() as pool:
        return sum(pool.map(_write, ((folder, number) for number in range(count)), chunksize=200))


@cache  # once in every process
def _digits() -> ImageData:
    return load_digits()


def _write(task: tuple[Path, int]) -> int:
    folder, number = task
    digits = _digits()
    index = number % digits.count("train")
    scan = digits.images["train"][index].permute(1, 2, 0).numpy()
    label = int(digits.labels["train"][index])
    rng = np.random.default_rng(number)
    digit = Image.fromarray(scan).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    noise = rng.integers(0, 256, (SIDE // 4, SIDE // 4, 3), dtype=np.uint8)
    background = Image.fromarray(noise).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    path = folder / str(label) / f"{number:06}.jpg"
    Image.blend(digit, background, 0.4).save(path, quality=QUALITY)
    return path.stat().st_size


if __name__ == "__main__":
    sys.exit(main())
