"""The handwritten digits of scikit-learn, a data set that needs no download."""

from __future__ import annotations

import numpy as np

from nas.data.arrays import assemble
from nas.data.images import ImageData


def load_digits() -> ImageData:
    """Return scikit-learn's digits: 1,797 real scans of handwritten digits, 8x8, 10 classes.

    They come from the UCI repository (Alpaydin and Kaynak 1998) and are part of scikit-learn.
    """
    from sklearn import datasets

    scans = datasets.load_digits()
    gray = np.clip(np.rint(scans.images * (255 / 16)), 0, 255).astype(np.uint8)
    return assemble("digits", {"train": (gray, scans.target)})
