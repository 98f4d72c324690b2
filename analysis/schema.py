"""Column names and types shared by readers, statistics and figures."""

from __future__ import annotations

from typing import Literal

Direction = Literal["max", "min"]
"""Whether an objective is maximized or minimized."""
VARIABLE = "x."
"""Prefix of the columns that hold design variables."""
LIMITED = "within_limits"
"""Column that says whether a network satisfies the limits of its search."""
RAW_SCORE = "raw_score"
"""Column with the score of a network as it was estimated. The column ``score`` holds what all
networks' scores together suggest, since the highest of many noisy scores are partly luck."""
ERRORS = "(error)"
"""Column of the quantity to minimize, whatever its source; parenthesized so that it cannot clash
with a user's column."""
ARCHITECTURE = "architecture"
"""Column of networks written as text; see `analysis.read.architectures`."""


def on_device(column: str, device: str) -> str:
    """Return the column of a device's latencies in a search on several devices.

    The plain column belongs to the first device of the search.
    """
    return f"{column}@{device}"


RETRAINING_COLUMNS = ("name", "kind", "seed", "validation", "test", "test_images", "seconds")
"""Columns of a table of retraining results, one row per training run."""
OPERATOR_COLUMNS = ("device", "network", "operator", "ms")
"""Columns of a table that says what the time of networks on devices consists of."""
HITS = "hits"
"""Column of a table of retraining results: which test images a network classified correctly."""
BUILT_IN_DATA = ("digits",)
"""Names of data sets that a search may have without any files."""
KINDS = ("front", "reference")
"""Kinds of retrained networks: those of the front, and those that they are compared with."""
ERROR = "error"
"""Label of errors that are shares of misclassified images, between 0 and 1."""
NEGATED = "less "
"""Prefix of the label of errors that are negated scores."""
