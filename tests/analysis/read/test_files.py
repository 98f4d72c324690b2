"""Tables from files, whatever is in them."""

import decimal
import json
import os

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.errors import AnalysisError
from analysis.read.files import read_file, read_table

ROWS = pd.DataFrame(
    {"name": ["000", "010"], "x.kernels": ["3", "3.5"], "spec_hash": ["12", "1e5"], "depth": [1, 2]}
)


@pytest.mark.parametrize("kind", ["csv", "parquet", "json"])
def test_every_kind_gives_the_same_table(tmp_path, kind):
    path = tmp_path / f"table.{kind}"
    if kind == "json":
        path.write_text(json.dumps(ROWS.to_dict("list")), encoding="utf-8")
    else:
        getattr(ROWS, f"to_{kind}")(path, index=False)
    table = read_file(path)
    assert table.to_dict("list") == ROWS.to_dict("list")
    assert table["depth"].dtype == "int64"


def test_json_may_be_a_list_of_rows_with_nested_cells(tmp_path):
    path = tmp_path / "table.json"
    rows = [{"a": 1, "b": [8, 16]}, {"a": 2, "b": {"c": None}}]
    path.write_text(json.dumps(rows), encoding="utf-8")
    assert read_file(path).to_dict("list") == {"a": [1, 2], "b": ["[8, 16]", '{"c": null}']}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"x", r"a\.txt: give a run directory, a table \(\.csv, \.parquet, \.json\) or"),
        ("absent.csv", None, r"absent\.csv: no such file or directory"),
        ("empty.csv", b"", r"empty\.csv cannot be read: "),
        ("header.csv", b"a,b\n", r"header\.csv has no rows"),
        ("tabs.csv", b"a\tb\n1\t2\n", "its columns are not separated by commas"),
        ("long.csv", b"a,b\n1,2,3\n4,5,6\n", "its rows have more cells than its header"),
        ("binary.csv", b"a,b\n\xff\xfe,1\n", r"binary\.csv cannot be read: "),
        ("text.json", b"{", r"text\.json cannot be read: "),
        ("torn.parquet", b"PAR1", r"torn\.parquet cannot be read: "),
    ],
)
def test_a_file_that_is_no_table_is_named(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(AnalysisError, match=message):
        read_file(tmp_path / name)


def test_two_columns_of_one_name_are_refused(tmp_path):
    path = tmp_path / "table.parquet"
    columns = pa.table([[1, 2], [3, 4]], names=["depth", "depth"])
    pq.write_table(columns, path)
    with pytest.raises(AnalysisError, match=r"cannot be read: .*depth"):
        read_file(path)


def test_one_column_needs_no_comma(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("accuracy\n0.5\n0.6\n", encoding="utf-8")
    assert read_table(path)["accuracy"].tolist() == [0.5, 0.6]


# -- files of others ------------------------------------------------------------------------


def test_names_are_printable_and_integers_bounded(tmp_path):
    path = tmp_path / "table.json"
    rows = [
        {"na\x1bme": "\x1b[2Jgone\nnow", "big": 10**30, "n": 1, "none": None},
        {"na\x1bme": "plain", "big": -(10**30), "n": 2, "none": None},
    ]
    path.write_text(json.dumps(rows), encoding="utf-8")
    table = read_file(path)
    assert list(table) == ["na\ufffdme", "big", "n", "none"]
    assert table["na\ufffdme"].tolist() == ["\ufffd[2Jgone now", "plain"]
    assert table["big"].tolist() == [1e30, -1e30]
    assert table["n"].tolist() == [1, 2]
    assert table["none"].dtype == "float64"


def test_a_csv_cannot_reach_the_terminal(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("name,accuracy\n\x1b[2J,0.5\n", encoding="utf-8")
    assert read_table(path)["name"].tolist() == ["\ufffd[2J"]


def test_parquet_that_stands_for_billions_of_cells_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"accuracy": pa.array([0.5] * 1_000)}), path)
    monkeypatch.setattr("analysis.read.files.MOST_CELLS", 999)
    with pytest.raises(AnalysisError, match="1,000 rows of 1 columns, and at most 999 cells"):
        read_file(path)


def test_decimals_are_numbers_and_objects_text(tmp_path):
    path = tmp_path / "table.parquet"
    columns = {
        "accuracy": pa.array([decimal.Decimal("0.5"), None], pa.decimal128(5, 2)),
        "shape": pa.array([[1, 2], None]),
    }
    pq.write_table(pa.table(columns), path)
    table = read_file(path)
    assert table["accuracy"].iloc[0] == 0.5
    assert table["accuracy"].dtype == "float64"
    assert isinstance(table["shape"].iloc[0], str)


@pytest.mark.parametrize("name", ["t.csv", "t.json", "t.parquet"])
def test_pipes_and_folders_are_no_tables(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(AnalysisError, match="it is not a file"):
        read_file(tmp_path / name)


def test_deeply_nested_json_is_one_line(tmp_path):
    (tmp_path / "t.json").write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(AnalysisError, match="cannot be read: ") as caught:
        read_file(tmp_path / "t.json")
    assert "\n" not in str(caught.value)


def test_tables_of_cells_that_have_no_byte_are_refused(tmp_path):
    json_file, csv_file = tmp_path / "a.json", tmp_path / "a.csv"
    json_file.write_text("[" + ",".join(f'{{"{i}": 1}}' for i in range(3000)) + "]")
    csv_file.write_text(",".join(f"a{i}" for i in range(3000)) + "\n" + "1\n" * 3000)
    for file, rows in ((json_file, "3,000"), (csv_file, "3,001")):
        with pytest.raises(AnalysisError, match=f"it has {rows} rows of 3,000 columns, nearly all"):
            read_file(file)


@pytest.mark.parametrize("encoded", [False, True])
def test_long_text_that_every_row_repeats_is_counted_first(tmp_path, monkeypatch, encoded):
    file = tmp_path / "a.parquet"
    names = pa.array(["é" * 9] * 500 + [None, "b"])
    names = names.dictionary_encode() if encoded else names
    pq.write_table(pa.table({"name": names, "error": [0.5] * 502}), file)
    monkeypatch.setattr("analysis.read.files.MOST_TEXT", 9001)
    table = read_file(file)
    assert table["name"].tolist()[::251] == ["é" * 9] * 2
    assert table["name"].iloc[-1] == "b"
    assert table["name"].isna().sum() == 1
    monkeypatch.setattr("analysis.read.files.MOST_TEXT", 9000)
    with pytest.raises(AnalysisError, match="its text has more than 9,000 bytes"):
        read_file(file)
