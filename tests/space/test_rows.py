import csv
import random

import pandas as pd
import pytest

from nas.errors import MixnasError
from nas.space import space_from_yaml
from nas.space.rows import VARIABLE_PREFIX, genotype_of_cells, genotype_of_row
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


def test_tables_keep_truth_beside_text(tmp_path):
    space = space_from_yaml(
        """
        name: s
        stem: {channels: 8}
        stages: {a: {stride: 1, depth: 1, channels: 8, skip: {choice: [true, pool, false]}}}
        """
    )
    assert space.variables[0].labels == ("true", "pool", "false")
    for genotypes in ([(0,), (1,), (2,)], [(0,), (2,)], [(1,)]):  # with and without the text
        table = pd.DataFrame(
            [{f"x.{k}": v for k, v in space.to_params(genotype).items()} for genotype in genotypes]
        )
        table.to_csv(tmp_path / "rows.csv", index=False)
        table.to_parquet(tmp_path / "rows.parquet")
        for read in (
            pd.read_csv(tmp_path / "rows.csv"),
            pd.read_parquet(tmp_path / "rows.parquet"),
        ):
            found = [genotype_of_row(row, space) for row in read.to_dict("records")]
            assert found == genotypes
        with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as file:
            assert [genotype_of_cells(row, space) for row in csv.DictReader(file)] == genotypes


def test_cells_of_text_hold_genotypes(tmp_path):
    rng = random.Random(1)
    genotypes = [tiny.draw(rng) for _ in range(30)]
    pd.DataFrame([row_of(genotype, None) for genotype in genotypes]).to_csv(tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as file:
        assert [genotype_of_cells(row, tiny) for row in csv.DictReader(file)] == genotypes
    cells = {name: str(label) for name, label in row_of(genotypes[0], "").items()}
    with pytest.raises(MixnasError, match=r"'nine' is not a value of a.depth; allowed: 1, 2, 3"):
        genotype_of_cells({**cells, "x.a.depth": "nine"}, tiny)
