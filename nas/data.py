"""Image data sets with a fixed split: train and validation for the search, test for the end.

Images live in memory as uint8, shape (N, 3, H, W).
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from nas.errors import MixnasError, unknown

Part = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class ImageData:
    """A data set in three parts.

    Attributes:
        name: as given on the command line.
        classes: names of the classes, in label order.
        images: by part, uint8, (N, 3, H, W).
        labels: by part, int64, (N,).
    """

    name: str
    classes: tuple[str, ...]
    images: dict[Part, Tensor]
    labels: dict[Part, Tensor]

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.classes)

    @property
    def resolution(self) -> int:
        """Side length of the images in pixels."""
        return int(self.images["train"].shape[-1])

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits that change when an image, a label or the split does."""
        digest = hashlib.sha256()
        for part in ("train", "validation", "test"):
            digest.update(self.images[part].numpy().tobytes())
            digest.update(self.labels[part].numpy().tobytes())
        return digest.hexdigest()[:16]

    def resized(self, resolution: int) -> ImageData:
        """Return the data at another resolution (bilinear)."""
        if resolution == self.resolution:
            return self
        images = {
            part: F.interpolate(
                tensor.float(), (resolution, resolution), mode="bilinear", antialias=True
            )
            .round_()
            .clamp_(0, 255)
            .to(torch.uint8)
            for part, tensor in self.images.items()
        }
        return dataclasses.replace(self, images=images)

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of the training part by channel, (3,) in 0..1."""
        pixels = self.images["train"].float().div_(255)
        return pixels.mean((0, 2, 3)), pixels.std((0, 2, 3)).clamp_min_(1e-3)


def split_indices(labels: np.ndarray, seed: int = 0) -> dict[Part, np.ndarray]:
    """Split 60/20/20 with equal class shares; the same labels give the same split."""
    from sklearn.model_selection import train_test_split

    everything = np.arange(len(labels))
    rest, test = train_test_split(everything, test_size=0.2, stratify=labels, random_state=seed)
    train, validation = train_test_split(
        rest, test_size=0.25, stratify=labels[rest], random_state=seed
    )
    return {"train": np.sort(train), "validation": np.sort(validation), "test": np.sort(test)}


def load_digits() -> ImageData:
    """Return scikit-learn's digits: 1,797 real scans of handwritten digits, 8x8, 10 classes.

    They are embedded in scikit-learn, so they need no download (Alpaydin and Kaynak 1998, UCI).
    """
    from sklearn import datasets

    raw = datasets.load_digits()
    gray = np.clip(np.rint(raw.images * (255 / 16)), 0, 255).astype(np.uint8)
    labels = raw.target.astype(np.int64)
    images = torch.from_numpy(gray)[:, None].repeat(1, 3, 1, 1)
    parts = split_indices(labels)
    return ImageData(
        "digits",
        tuple(str(i) for i in range(10)),
        {part: images[torch.from_numpy(index)] for part, index in parts.items()},
        {part: torch.from_numpy(labels[index]) for part, index in parts.items()},
    )


DATA: dict[str, Callable[[], ImageData]] = {"digits": load_digits}


def load_data(name: str) -> ImageData:
    """Read a data set by name.

    Raises:
        MixnasError: when there is no such data set.
    """
    if name not in DATA:
        raise MixnasError(unknown("data set", name, DATA))
    return DATA[name]()
