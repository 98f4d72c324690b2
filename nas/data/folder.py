"""A folder of class folders with image files, decoded once for every resolution.

::

    root/CLASS/*.jpg                 split 60/20/20
    root/{train,test}/CLASS/*.jpg    validation is split off train
    root/{train,val}/CLASS/*.jpg     as ImageNet's: val is the test, validation is split off train
    root/{train,val,test}/CLASS/*    as it is
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from PIL import Image, ImageOps
from torch import Tensor

from nas.data.arrays import check_counts, split
from nas.data.images import PARTS, ImageData, Part
from nas.errors import MixnasError
from nas.files import cache_folder, write_atomic
from nas.progress import Step

ENDINGS = frozenset(
    [".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"]
)
_FOLDERS: dict[str, Part] = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
_CHUNK = 256  # images decoded between two looks at the progress


@dataclass(frozen=True)
class FolderData:
    """Image files by part and class; nothing is decoded yet.

    Attributes:
        name: as given on the command line.
        classes: names of the class folders, sorted.
        files: by part, (path, label).
    """

    name: str
    classes: tuple[str, ...]
    files: dict[Part, tuple[tuple[Path, int], ...]]

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.classes)

    def count(self, part: Part) -> int:
        """Return how many images a part has, those that cannot be read among them."""
        return len(self.files[part])

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits that change when a file's place or size does."""
        digest = hashlib.sha256()
        root = Path(self.name).expanduser()
        for part in PARTS:
            for path, label in self.files[part]:
                place = path.relative_to(root).as_posix()
                digest.update(f"{part}/{label}/{place}/{path.stat().st_size}\n".encode())
        return digest.hexdigest()[:16]

    def at(self, resolution: int, step: Step | None = None) -> ImageData:
        """Decode all images: the middle square, at a resolution.

        They are kept in the user's cache, and mapped into memory from there, so that processes
        share them and sets that are larger than memory can be used.

        Args:
            resolution: side in pixels.
            step: told how many images of how many are decoded.

        Raises:
            MixnasError: when a class has too few images that can be read.
        """
        base = cache_folder("data") / f"{self.fingerprint()}-{resolution}"
        images, about = base.with_suffix(".npy"), base.with_suffix(".json")
        with FileLock(base.with_suffix(".lock")):
            if not about.is_file():
                self._decode(images, about, resolution, step)
        noted = json.loads(about.read_text(encoding="utf-8"))
        data = _mapped(self.name, self.classes, images, noted)
        check_counts(self.name, data.labels["train"].numpy(), self.classes)
        return data

    def _decode(self, images: Path, about: Path, resolution: int, step: Step | None) -> None:
        """Write all images that can be read, part after part, then what there is to know."""
        everything = [entry for part in PARTS for entry in self.files[part]]
        labels: dict[str, list[int]] = {part: [] for part in PARTS}
        broken: list[str] = []
        shape = (len(everything), 3, resolution, resolution)
        with _written_whole(images) as path:
            rows = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
            row = done = 0
            for part in PARTS:
                for (file, label), pixels in _decoded(self.files[part], resolution):
                    if isinstance(pixels, str):
                        broken.append(f"{file}: {pixels}")
                    else:
                        rows[row] = pixels
                        row += 1
                        labels[part].append(label)
                    done += 1
                    if step is not None and (done % _CHUNK == 0 or done == len(everything)):
                        step(done, len(everything))
            rows.flush()
        write_atomic(about, json.dumps({"labels": labels, "broken": broken}))


def _mapped(
    name: str, classes: Sequence[str], images: Path, noted: dict[str, dict[str, list[int]]]
) -> ImageData:
    rows = torch.from_numpy(np.load(images, mmap_mode="c", allow_pickle=False))
    parts: dict[Part, Tensor] = {}
    labels: dict[Part, Tensor] = {}
    begin = 0
    for part in PARTS:
        labels[part] = torch.tensor(noted["labels"][part], dtype=torch.int64)
        parts[part] = rows[begin : begin + len(labels[part])]
        begin += len(labels[part])
    return ImageData(name, tuple(classes), parts, labels, tuple(noted["broken"]))


def _decoded(
    files: Sequence[tuple[Path, int]], resolution: int
) -> Iterator[tuple[tuple[Path, int], np.ndarray | str]]:
    """Yield files with their pixels, (3, R, R), or with why there are none."""
    with ThreadPoolExecutor() as pool:  # decoding lets other threads run
        for begin in range(0, len(files), _CHUNK):
            chunk = files[begin : begin + _CHUNK]
            found = pool.map(lambda entry: read_image(entry[0], resolution), chunk)
            yield from zip(chunk, found, strict=True)


Box = tuple[float, float, float, float]


def read_image(
    path: Path, resolution: int, crop: Callable[[int, int], Box] | None = None
) -> np.ndarray | str:
    """Read an image file.

    Args:
        path: of the file.
        resolution: side in pixels.
        crop: tells the left, upper, right and lower end of what is cut out, from width and height;
            the middle square if None.

    Returns:
        Its pixels, uint8, (3, R, R); or why there are none.
    """
    size = (resolution, resolution)
    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter("ignore")  # of odd metadata; what cannot be read is told
            image.draft("RGB", (2 * resolution, 2 * resolution))  # large photographs, faster
            upright = ImageOps.exif_transpose(image).convert("RGB")
            if crop is None:
                square = ImageOps.fit(upright, size, Image.Resampling.BILINEAR)
            else:
                box = crop(*upright.size)
                square = upright.resize(size, Image.Resampling.BILINEAR, box, reducing_gap=2.0)
            return np.asarray(square).transpose(2, 0, 1)
    except Exception as error:  # decoders raise all kinds on files that are damaged
        return f"{type(error).__name__}: {error}".partition("\n")[0]


@contextmanager
def _written_whole(path: Path) -> Iterator[Path]:
    """Give a place to write to that takes the file's place at the end."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        yield Path(name)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


# -- finding the files ----------------------------------------------------------------------------


def load_folder(name: str) -> FolderData:
    """Find the images below a folder.

    Raises:
        MixnasError: when there are no class folders, or a class has too few images.
    """
    root = Path(name).expanduser()
    parts = {
        part: folder
        for folder in _folders(root)
        if (part := _FOLDERS.get(folder.name.lower())) is not None
    }
    if "train" not in parts:
        parts = {"train": root}
    classes = tuple(folder.name for folder in _folders(parts["train"]))
    if not classes:
        raise MixnasError(
            f"{parts['train']} has no class folders; wanted is {name}/CLASS/*.jpg, or "
            f"{name}/train/CLASS/*.jpg and {name}/test/CLASS/*.jpg"
        )
    if len(classes) < 2:
        raise MixnasError(f"{name} has one class, '{classes[0]}'; a classifier needs two")
    found = {part: _images(folder, classes) for part, folder in parts.items()}
    labels = {part: np.array([n for _, n in entries]) for part, entries in found.items()}
    check_counts(name, labels["train"], classes)
    files: dict[Part, tuple[tuple[Path, int], ...]] = {
        part: tuple(found[origin][i] for i in index)
        for part, (origin, index) in split(labels).items()
    }
    return FolderData(name, classes, files)


def _folders(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))


def _images(folder: Path, classes: Sequence[str]) -> list[tuple[Path, int]]:
    """Return the image files of a part with their labels.

    Raises:
        MixnasError: when it has another class, or no images.
    """
    numbers = {name: i for i, name in enumerate(classes)}
    others = [p.name for p in _folders(folder) if p.name not in numbers]
    if others:
        raise MixnasError(f"{folder} has a class '{others[0]}' that the training part has not")
    found = []
    for name, number in numbers.items():
        paths = (folder / name).rglob("*") if (folder / name).is_dir() else ()
        good = [p for p in paths if p.suffix.lower() in ENDINGS and not p.name.startswith(".")]
        found += [(path, number) for path in sorted(good) if path.is_file()]
    if not found:
        raise MixnasError(f"{folder} has no images ({', '.join(sorted(ENDINGS))})")
    return found
