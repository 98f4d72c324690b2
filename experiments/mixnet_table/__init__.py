"""A table of MixNets trained on CIFAR-10 by one recipe, which estimators are tested on.

``python -m experiments.mixnet_table`` makes it; see its ``--help``.
"""

from pathlib import Path

TABLE = Path(__file__).parents[1] / "results" / "mixnet_table" / "table.json"
"""The recorded table, which `nas.rank` reads."""
