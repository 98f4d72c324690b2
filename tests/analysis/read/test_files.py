"""Tables from files, whatever is in them."""

import json

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
