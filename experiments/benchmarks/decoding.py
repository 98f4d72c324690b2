"""Images decoded and resized per second and core, by Pillow, its rivals and mixnas, in turns.

    python -m experiments.benchmarks.decoding cifar10_images.tar.xz [--images 200] [--record]

The images are photographs of CIFAR-10 (a tar file of JPEG files), enlarged to 500 pixels with
texture and grain of different strength, and written as JPEG files of quality 90: as large, and as
hard to decode, as photographs from a camera that were reduced to that size. Each way of decoding
makes a square of uint8 (3, R, R) of the same crop. Seconds are those of the processor, of one
thread. How far pixels are from plain Pillow's is given for crops at fractions of pixels, as Pillow
takes them, and for the same crops rounded to whole pixels, as torchvision takes them.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import statistics
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from experiments.benchmarks.common import record
from nas.data.decoding import Box, read_image
from nas.machine import MachineLoad
from nas.train.streaming import RandomBox

TARGET = 2.5  # times the images per second of plain Pillow
TOLERANCE = 0.1  # mean difference from plain Pillow at the same whole pixels, of 255
LONG, SHORT, QUALITY = 500, 375, 90
MOST_GRAIN = 14.0  # standard deviation of the noise added to each pixel, of 255
MIN_AREA = 0.25  # of the random crops, as a share of the image
Crop = Callable[[int, int], Box]
Way = Callable[[bytes, int, Crop], np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path, help="tar file with JPEG files")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--sides", type=int, nargs="+", default=[224, 64, 36])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true", help="write experiments/results/")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    load = MachineLoad()
    files = photographs(arguments.archive, arguments.images, arguments.seed)
    rows = []
    for side in arguments.sides:
        for name, crops in (("center", central(files)), ("random", drawn(files))):
            rows += compared(files, crops, side, name, arguments.rounds)
    record(
        "decoding",
        {
            "images": len(files),
            "mean_bytes": round(statistics.mean(map(len, files))),
            "quality": QUALITY,
            "rounds": arguments.rounds,
            "seed": arguments.seed,
            "target": TARGET,
            "tolerance": TOLERANCE,
            "load": load.remarks(),
            "not_measured": {
                "PyTurboJPEG": "needs libjpeg-turbo 3 of the system, which its package lacks"
            },
            "rows": rows,
        },
        *("pillow", "simplejpeg", "kornia_rs", "torch"),
        write=arguments.record,
    )


def compared(
    files: list[bytes], crops: list[Crop], side: int, kind: str, rounds: int
) -> list[dict[str, object]]:
    """Measure all ways in turns, print them as a table, and return its rows."""
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(rounds):
        for name, way in WAYS.items():
            started = time.process_time()
            for raw, crop in zip(files, crops, strict=True):
                way(raw, side, crop)
            seconds[name].append((time.process_time() - started) / len(files))
    print(f"\n{side} px, {kind} crop   images/s   ratio   difference: mean  max   whole: mean  max")
    rows: list[dict[str, object]] = []
    exact, whole = differences(files, crops, side)
    base = statistics.median(seconds["pillow"])
    for name, found in seconds.items():
        middle = statistics.median(found)
        print(
            f"{name:21} {1 / middle:8.0f} {base / middle:7.2f} {exact[name].mean:18.3f} "
            f"{exact[name].most:4} {whole[name].mean:13.3f} {whole[name].most:4}"
        )
        rows.append(
            {
                "side": side,
                "crop": kind,
                "way": name,
                "images_per_second": round(1 / middle, 1),
                "ratio": round(base / middle, 3),
                "mean_difference": exact[name].mean,
                "max_difference": exact[name].most,
                "mean_difference_at_whole_pixels": whole[name].mean,
                "max_difference_at_whole_pixels": whole[name].most,
            }
        )
    return rows


@dataclass
class Difference:
    """Mean and maximum difference of pixels, of 255."""

    mean: float
    most: int


def differences(
    files: list[bytes], crops: list[Crop], side: int
) -> tuple[dict[str, Difference], dict[str, Difference]]:
    """Return how far each way's pixels are from plain Pillow's at exact and at rounded crops."""
    found: tuple[dict[str, Difference], dict[str, Difference]] = ({}, {})
    references = [
        [plain(raw, side, crop).astype(np.int16) for raw, crop in zip(files, some, strict=True)]
        for some in (crops, [rounded(crop) for crop in crops])
    ]
    for name, way in WAYS.items():
        squares = [way(raw, side, crop) for raw, crop in zip(files, crops, strict=True)]
        for reference, result in zip(references, found, strict=True):
            apart = [np.abs(a - b) for a, b in zip(squares, reference, strict=True)]
            mean = round(float(np.mean([d.mean() for d in apart])), 4)
            result[name] = Difference(mean, max(int(d.max()) for d in apart))
    return found


# -- ways of decoding ------------------------------------------------------------------------------


def plain(raw: bytes, side: int, crop: Crop) -> np.ndarray:
    """Pillow: decode the whole image, then resize a crop of it."""
    with Image.open(io.BytesIO(raw)) as image:
        whole = image.convert("RGB")
    return by_pillow(whole, side, crop(*whole.size))


def drafted(factor: int) -> Way:
    """Pillow, decoding at the smallest scale that leaves `factor` times the side."""

    def way(raw: bytes, side: int, crop: Crop) -> np.ndarray:
        with Image.open(io.BytesIO(raw)) as image:
            image.draft("RGB", (factor * side, factor * side))
            whole = image.convert("RGB")
        return by_pillow(whole, side, crop(*whole.size))

    return way


def by_kornia(raw: bytes, side: int, crop: Crop) -> np.ndarray:
    """kornia_rs, whose resizing has no antialiasing."""
    import kornia_rs

    pixels = kornia_rs.io.decode_image_jpegturbo(raw, "rgb")
    square = kornia_rs.imgproc.resize(cut(pixels, crop), (side, side), "bilinear")
    return np.ascontiguousarray(square.transpose(2, 0, 1))


def by_kornia_and_torch(raw: bytes, side: int, crop: Crop) -> np.ndarray:
    """kornia_rs decodes, and torch resizes."""
    import kornia_rs

    return by_torch(kornia_rs.io.decode_image_jpegturbo(raw, "rgb"), side, crop)


def by_simplejpeg_and_pillow(raw: bytes, side: int, crop: Crop) -> np.ndarray:
    """Simplejpeg decodes, and Pillow resizes."""
    import simplejpeg

    whole = Image.fromarray(simplejpeg.decode_jpeg(raw, "RGB"))
    return by_pillow(whole, side, crop(*whole.size))


def by_coarse_simplejpeg(raw: bytes, side: int, crop: Crop) -> np.ndarray:
    """Simplejpeg decodes with less exact transforms and colours, and torch resizes."""
    import simplejpeg

    pixels = simplejpeg.decode_jpeg(raw, "RGB", fastdct=True, fastupsample=True)
    return by_torch(pixels, side, crop)


def by_scaling_simplejpeg(raw: bytes, side: int, crop: Crop) -> np.ndarray:
    """Simplejpeg decodes at the smallest scale that leaves the side, and torch resizes."""
    import simplejpeg

    pixels = simplejpeg.decode_jpeg(raw, "RGB", min_height=side, min_width=side)
    return by_torch(pixels, side, crop)


@dataclass
class InMemory:
    """An image file that needs no disk."""

    raw: bytes

    def read_bytes(self) -> bytes:
        """Return the content of the file."""
        return self.raw


def by_mixnas(raw: bytes, side: int, crop: Crop) -> np.ndarray:
    """What trainings read images by."""
    square = read_image(InMemory(raw), side, crop)
    assert not isinstance(square, str), square
    return square


WAYS: dict[str, Way] = {
    "pillow": plain,
    "pillow draft 2R": drafted(2),
    "pillow draft R": drafted(1),
    "simplejpeg, pillow": by_simplejpeg_and_pillow,
    "simplejpeg fast, torch": by_coarse_simplejpeg,
    "simplejpeg M/8, torch": by_scaling_simplejpeg,
    "kornia_rs": by_kornia,
    "kornia_rs, torch": by_kornia_and_torch,
    "mixnas": by_mixnas,
}
if importlib.util.find_spec("simplejpeg") is None:
    WAYS = {name: way for name, way in WAYS.items() if "simplejpeg" not in name}


def by_pillow(image: Image.Image, side: int, box: Box) -> np.ndarray:
    """Resize a crop by Pillow."""
    square = image.resize((side, side), Image.Resampling.BILINEAR, box)
    return np.array(np.asarray(square).transpose(2, 0, 1), order="C")


def by_torch(pixels: np.ndarray, side: int, crop: Crop) -> np.ndarray:
    """Resize a crop by torch."""
    image = torch.from_numpy(cut(pixels, crop)).permute(2, 0, 1)[None]
    square = F.interpolate(image, (side, side), mode="bilinear", antialias=True)[0]
    return np.array(square.numpy(), order="C")


def cut(pixels: np.ndarray, crop: Crop) -> np.ndarray:
    """Cut pixels (H, W, 3) to a crop at whole pixels."""
    left, upper, right, lower = map(int, rounded(crop)(pixels.shape[1], pixels.shape[0]))
    return np.ascontiguousarray(pixels[upper:lower, left:right])


# -- images and crops ------------------------------------------------------------------------------


def photographs(archive: Path, count: int, seed: int) -> list[bytes]:
    """Return JPEG files of 500 x 375 and 375 x 500 pixels made of a tar file of small ones."""
    rng = np.random.default_rng(seed)
    files = []
    for number, small in enumerate(small_images(archive, count)):
        width, height = (LONG, SHORT) if number % 3 else (SHORT, LONG)
        large = small.resize((width, height), Image.Resampling.BICUBIC)
        pixels = np.asarray(large, np.float32)
        for cell, strength in ((16, 10), (8, 10), (4, 8), (2, 4)):
            pixels = pixels + texture(rng, width, height, cell, strength)
        pixels = pixels + texture(rng, width, height, 1, MOST_GRAIN * rng.random())
        content = io.BytesIO()
        image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
        image.save(content, "JPEG", quality=QUALITY)
        files.append(content.getvalue())
    return files


def small_images(archive: Path, count: int) -> Iterator[Image.Image]:
    """Yield every tenth image of a tar file, from its beginning."""
    with tarfile.open(archive) as tar:
        found = (member for member in tar if member.name.endswith(".jpg"))
        for number, member in enumerate(found):
            if number == 10 * count:
                return
            if number % 10 == 0 and (file := tar.extractfile(member)) is not None:
                with Image.open(file) as image:
                    yield image.convert("RGB")


def texture(
    rng: np.random.Generator, width: int, height: int, cell: int, strength: float
) -> np.ndarray:
    """Return smooth noise (height, width, 1) with structures of some pixels."""
    small = rng.normal(0, strength, (height // cell + 2, width // cell + 2)).astype(np.float32)
    large = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(large)[..., None]


def central(files: list[bytes]) -> list[Crop]:
    """Return the crop to the central square for each file."""

    def square(width: int, height: int) -> Box:
        side = min(width, height)
        left, upper = (width - side) / 2, (height - side) / 2
        return left, upper, left + side, upper + side

    return [square for _ in files]


def drawn(files: list[bytes]) -> list[Crop]:
    """Return a random crop for each file, which is the same at every call."""

    def crop_of(seed: int) -> Crop:
        return lambda width, height: RandomBox(seed, MIN_AREA)(width, height)

    return [crop_of(seed) for seed in range(len(files))]


def rounded(crop: Crop) -> Crop:
    """Round a crop's edges to whole pixels."""

    def whole(width: int, height: int) -> Box:
        left, upper, right, lower = map(round, crop(width, height))
        return left, upper, right, lower

    return whole


if __name__ == "__main__":
    main()
