import random

import pytest

from nas.errors import MixnasError
from nas.space.rows import VARIABLE_PREFIX, genotype_of_row
from tests.space.test_space import tiny


def row_of(genotype, missing):
    labels = tiny.to_params(genotype)
    return {f"x.{name}": missing if label is None else label for name, label in labels.items()}


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_rows_hold_genotypes(missing):
    rng = random.Random(0)
    genotypes = [tiny.draw(rng) for _ in range(30)]
    assert any(-1 in genotype for genotype in genotypes)
    for genotype in genotypes:
        row = {"number": 3, "madds": float("nan"), **row_of(genotype, missing)}
        assert genotype_of_row(row, tiny) == genotype


def test_rows_without_a_needed_value_are_refused():
    row = row_of(tiny.draw(random.Random(0)), None)
    del row["x.a.depth"]
    with pytest.raises(MixnasError, match=r"a.depth is active but has no value"):
        genotype_of_row(row, tiny)
    with pytest.raises(MixnasError, match=r"'9' is not a value of a.depth; allowed: 1, 2, 3"):
        genotype_of_row({**row, f"{VARIABLE_PREFIX}a.depth": 9}, tiny)
