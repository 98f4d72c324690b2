"""The data set that needs no file."""

from __future__ import annotations

import numpy as np

from nas.data.arrays import assemble
from nas.data.images import ImageData


def load_digits() -> ImageData:
    """Return scikit-learn's digits: 1,797 real scans of handwritten digits, 8x8, 10 classes.

    They are embedded in scikit-learn, so they need no download (Alpaydin and Kaynak 1998, UCI).
    """
    from sklearn import datasets

    raw = datasets.load_digits()
    gray = np.clip(np.rint(raw.images * (255 / 16)), 0, 255).astype(np.uint8)
    return assemble("digits", {"train": (gray, raw.target)})
