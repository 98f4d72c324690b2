import json
import math

import pandas as pd

from nas.train.zoo.results import COLUMNS, print_results, results_table, write_results


def card(top1, classes=10, latency=None):
    return {
        "test": {"top1": top1, "top5": 0.95, "loss": 1.0},
        "validation": {"top1": 0.5, "top5": 0.9, "loss": 1.0},
        "params": 2_612_976,
        "madds": 5_616_112,
        "resolution": 32,
        "latency": latency,
        "epochs": 3,
        "seconds": 66.0,
        "classes": [str(number) for number in range(classes)],
    }


def table(**changes):
    cards = {"low": card(0.6), "none": None, "high": card(0.8)} | changes
    return results_table(cards, dict.fromkeys(cards, "out of memory"))


def test_the_most_accurate_network_comes_first_and_failures_last():
    found = table()
    assert tuple(found.columns) == COLUMNS
    assert list(found["network"]) == ["high", "low", "none"]
    assert list(found["top1"][:2]) == [0.8, 0.6]
    assert list(found["problem"].fillna("")) == ["", "", "out of memory"]
    assert found.iloc[2].drop(["network", "problem"]).isna().all()


def test_the_top_5_accuracy_is_left_out_where_it_says_nothing():
    assert math.isnan(table(high=card(0.8, classes=5))["top5"][0])
    assert table(high=card(0.8, classes=6))["top5"][0] == 0.95


def test_table_and_figure_are_written(tmp_path):
    found = table()
    log = pd.DataFrame({"epoch": [1, 2], "validation_accuracy": [0.3, 0.5]})
    write_results(tmp_path, found, {"high": log, "low": log})
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "zoo.csv"), found, check_dtype=False)
    assert (tmp_path / "zoo.png").stat().st_size > 10_000


def test_there_is_no_figure_of_nothing(tmp_path):
    write_results(tmp_path, results_table({"a": None}, {"a": "too large"}), {})
    assert [path.name for path in tmp_path.iterdir()] == ["zoo.csv"]


def test_the_table_is_printed_as_text(capsys, tmp_path):
    print_results(table(), tmp_path, json=False)
    shown = capsys.readouterr().out
    assert "test accuracy at 32 px" in shown
    (high,) = (line for line in shown.splitlines() if "high" in line)
    cells = [cell.strip() for cell in high.strip("\u2502 ").split("\u2502")]
    assert cells[:7] == ["high", "80.00%", "95.00%", "2.61M", "5.62M", "3", "66"]
    assert "out of memory" in shown
    assert "latency" not in shown


def test_columns_without_a_value_are_left_out(capsys, tmp_path):
    cards = {"a": card(0.6, classes=2, latency={"steady_ms": 1.234})}
    print_results(results_table(cards, {"a": ""}), tmp_path, json=False)
    shown = capsys.readouterr().out
    assert "1.23" in shown
    assert "top-5" not in shown
    assert "problem" not in shown


def test_the_table_is_printed_as_json(capsys, tmp_path):
    print_results(table(), tmp_path, json=True)
    rows = json.loads(capsys.readouterr().out)
    assert [row["network"] for row in rows] == ["high", "low", "none"]
    assert (rows[0]["top1"], rows[0]["problem"]) == (0.8, None)
    assert (rows[2]["top1"], rows[2]["problem"]) == (None, "out of memory")
