"""Retraining results with the images that each run classified correctly."""

import json

import numpy as np
import pandas as pd
import pytest

from analysis.errors import AnalysisError
from analysis.read.retraining import hits_document, read_retraining
from analysis.schema import HITS, RETRAINING_COLUMNS

COLUMNS = [*RETRAINING_COLUMNS, "training"]
HITS_OF = {
    ("trial_3", 1): np.array([True] * 9 + [False] * 2),
    ("trial_3", 2): np.array([False, True] * 5 + [True]),
}


def rows():
    return [
        {
            **dict.fromkeys(COLUMNS, 1.0),
            "name": name,
            "kind": "front",
            "seed": seed,
            "validation": 0.5,
            "test": hits.mean(),
            "test_images": 11,
            "training": "r0123",
            HITS: hits,
        }
        for (name, seed), hits in HITS_OF.items()
    ]


@pytest.fixture
def folder(tmp_path):
    pd.DataFrame(rows(), columns=COLUMNS).to_csv(tmp_path / "confirmed.csv", index=False)
    (tmp_path / "test_hits.json").write_text(hits_document(rows()), encoding="utf-8")
    return tmp_path


def change(folder, **columns):
    file = folder / "confirmed.csv"
    pd.read_csv(file).assign(**columns).to_csv(file, index=False)


def test_hits_come_back_as_they_were(folder):
    table = read_retraining(folder)
    assert table["seed"].tolist() == [1, 2]
    for found, hits in zip(table[HITS], HITS_OF.values(), strict=True):
        np.testing.assert_array_equal(found, hits)
        assert found.dtype == bool


def test_one_bit_per_image(folder):
    many = [{**rows()[0], HITS: np.ones(10_000, dtype=bool)}]
    assert len(hits_document(many)) < 10_000 / 8 * 4 / 3 + 150
    none = [{**rows()[0], HITS: None}, rows()[1]]
    assert [run["seed"] for run in json.loads(hits_document(none))["runs"]] == [2]


def test_without_hits_there_is_no_column(folder, tmp_path):
    (folder / "test_hits.json").unlink()
    assert HITS not in read_retraining(folder)
    assert tuple(read_retraining(tmp_path / "absent")) == RETRAINING_COLUMNS


@pytest.mark.parametrize(
    "columns",
    [{"training": "rother"}, {"test": 0.5}, {"test_images": 12}, {"seed": [1, 9]}],
)
def test_hits_of_another_training_are_not_used(folder, columns):
    change(folder, **columns)
    assert read_retraining(folder)[HITS].iloc[1] is None


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"validation": "high"}, "the column 'validation' holds text"),
        ({"test": 93.4}, "'test' must hold shares from 0 to 1"),
        ({"test": -0.1}, "'test' must hold shares from 0 to 1"),
        ({"kind": "winner"}, "the column 'kind' must hold front or reference"),
        ({"name": None}, "a row has no name"),
        ({"seed": 1.5}, "'seed' must hold whole numbers of at least 0"),
        ({"seed": None}, "'seed' must hold whole numbers of at least 0"),
        ({"test_images": 0}, "'test_images' must hold whole numbers of at least 1"),
        ({"test_images": float("inf")}, "'test_images' must hold whole numbers"),
        ({"training": "x/../../outside"}, "the column 'training' must hold digests"),
    ],
)
def test_a_damaged_table_is_named(folder, columns, said):
    change(folder, **columns)
    with pytest.raises(AnalysisError, match=rf"confirmed\.csv is damaged: {said}"):
        read_retraining(folder)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("[]", "is damaged"),
        ("{}", "no 'runs'"),
        ('{"runs": 3}', "is damaged"),
        ('{"runs": [{"name": "a"}]}', "no '"),
        ("{", "not valid JSON"),
    ],
)
def test_damaged_hits_are_named(folder, document, said):
    (folder / "test_hits.json").write_text(document, encoding="utf-8")
    with pytest.raises(AnalysisError, match=rf"test_hits\.json .*{said}"):
        read_retraining(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hits", "****"),
        ("hits", ""),
        ("images", 10**15),
        ("images", "11"),
        ("images", 3),
        ("seed", "x"),
    ],
)
def test_hits_need_as_many_bits_as_images(folder, key, value):
    file = folder / "test_hits.json"
    document = json.loads(file.read_text(encoding="utf-8"))
    document["runs"][0][key] = value
    file.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(AnalysisError, match=r"test_hits\.json is damaged: .*remove it to compare"):
        read_retraining(folder)
