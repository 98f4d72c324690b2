import json

import numpy as np
import pandas as pd
import pytest

from analysis.statistics.best_values import BestValue
from experiments.benchmarks.regnet_page import BEGIN, END, PAGE, results, with_results
from experiments.benchmarks.regnet_trends import (
    SHARED,
    TITLES,
    Value,
    compared,
    evaluate,
    networks_table,
    placed,
)
from nas.errors import MixnasError


def network(space, number, rng, gain=0.0):
    """Return the row of a network whose error is least with 20 blocks, and lower by `gain`."""
    depths = rng.integers(1, 12, 4).tolist()
    error = 0.5 + 0.01 * abs(sum(depths) - 20) - gain + 0.01 * rng.random()
    return {
        "space": space,
        "number": number,
        "depths": depths,
        "widths": (8 * rng.integers(1, 128, 4)).tolist(),
        "bottleneck_ratios": [1, 2, 4, 1],
        "group_widths": [1, 8, 8, 8],
        "params": {"derive.depth": sum(depths), "derive.w0": 48, "derive.wa": 30.5, "wm": 2.5},
        "costs": {"madds": 380_000_000, "params": 5_000_000 + number, "activations": 3_000_000},
        "accuracy": 1 - error,
        "seconds": 1.0,
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A study in which AnyNetX_E is better than A, B, C and D by 10 points."""
    rng = np.random.default_rng(0)
    rows = [
        network(space, number, rng, gain=0.1 * (space in ("anynet_e", "regnet")))
        for number in range(14)
        for space in TITLES
    ]
    rows[0] |= {"accuracy": None, "reason": "the loss is not finite"}
    tmp_path = tmp_path_factory.mktemp("study")
    (tmp_path / "networks.json").write_text(json.dumps({"networks": rows}))
    return tmp_path


@pytest.mark.slow
def test_a_study_is_evaluated_whole(folder):
    evaluate(folder)
    result = json.loads((folder / "trends.json").read_text())
    a, *_, regnet = result["populations"]
    assert [each["space"] for each in result["populations"]] == list(TITLES)
    assert (a["networks"], a["failed"], regnet["networks"]) == (13, 1, 14)
    assert a["mean_interval"][0] < a["mean"] < a["mean_interval"][1]
    verdicts = {(*each["better"], *each["other"]): each["verdict"] for each in result["claims"]}
    assert verdicts["anynet_b", "anynet_a"] == "no difference seen"
    assert verdicts["anynet_e", "anynet_d"] == verdicts["regnet", "anynet_a"] == "agrees"
    assert verdicts["anynet_d", "anynet_c"] == "cannot be told"
    assert verdicts[("anynet_d", "anynet_e", "regnet", "anynet_a", "anynet_b", "anynet_c")] == (
        "agrees"
    )
    assert result["fit"]["networks"] == 3 * 14
    assert result["fit"]["low"] < 0 < result["fit"]["high"]  # widths are drawn evenly
    depth = next(each for each in result["values"] if each["variable"] == "depth")
    assert depth["best"]["median"] == pytest.approx(20, abs=5)  # of 14 networks
    assert depth["verdict"] != "disagrees"
    for name in ("edf", "edf_chain", "trends", "variables_anynet_e", "variables_regnet"):
        assert (folder / f"{name}.svg").stat().st_size > 10_000
        assert (folder / f"{name}.png").stat().st_size > 10_000
    document = json.loads((folder / "networks.json").read_text())
    text = results(result, document)
    assert text.startswith(f"{6 * 14} networks have been trained")
    assert "| AnyNetX_B vs. AnyNetX_A | the same (section 3.2, figure 5, left) |" in text
    assert "| depth, RegNetX | section 4, figure 11: about 20 blocks" in text


def test_the_table_has_the_variables_that_all_spaces_have(folder):
    rows = json.loads((folder / "networks.json").read_text())["networks"]
    table = networks_table([row for row in rows if row["number"] < 5])
    assert set(table.columns) >= {f"x.{name}" for name in SHARED}
    row = table[(table["space"] == "anynet_b") & (table["number"] == 3)].iloc[0]
    source = next(r for r in rows if (r["space"], r["number"]) == ("anynet_b", 3))
    assert row["x.depth"] == sum(source["depths"])
    shares = np.array(source["depths"]) / row["x.depth"]
    assert row["x.group_width"] == pytest.approx(8 ** (1 - shares[0]), abs=1e-4)
    assert row["error"] == pytest.approx(1 - source["accuracy"], abs=1e-6)
    assert pd.isna(table["error"].iloc[0])
    drawn = table[table["space"] == "regnet"]
    assert (drawn[["x.w0", "x.wa", "x.wm"]] == [48, 30.5, 2.5]).all(axis=None)


def test_spaces_with_few_networks_are_left_out(tmp_path):
    rng = np.random.default_rng(0)
    rows = [network("anynet_a", number, rng) for number in range(5)]
    rows += [network("regnet", number, rng) for number in range(4)]
    (tmp_path / "networks.json").write_text(json.dumps({"networks": rows}))
    evaluate(tmp_path)
    found = json.loads((tmp_path / "trends.json").read_text())["populations"]
    assert [each["space"] for each in found] == ["anynet_a"]


@pytest.mark.parametrize(
    ("rows", "message"), [(None, "train networks first"), ([], "holds no network")]
)
def test_nothing_to_evaluate_is_told(tmp_path, rows, message):
    if rows is not None:
        (tmp_path / "networks.json").write_text(json.dumps({"networks": rows}))
    with pytest.raises(MixnasError, match=message):
        evaluate(tmp_path)


def test_too_few_networks_are_told(tmp_path):
    rows = [network("regnet", 0, np.random.default_rng(0))]
    (tmp_path / "networks.json").write_text(json.dumps({"networks": rows}))
    with pytest.raises(MixnasError, match="no space with 5 or more trained networks"):
        evaluate(tmp_path)


@pytest.mark.parametrize(
    ("differs", "interval", "verdict"),
    [
        (True, (-0.03, -0.01), "agrees"),
        (True, (0.01, 0.03), "disagrees"),
        (True, (-0.01, 0.03), "cannot be told"),
        (False, (-0.01, 0.03), "no difference seen"),
        (False, (-0.03, -0.01), "disagrees"),
    ],
)
def test_claims_are_judged_by_intervals_of_differences(differs, interval, verdict):
    assert compared(differs, *interval) == verdict


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ((18, 24), "agrees"),
        ((10, 50), "cannot be told"),  # as wide as the population itself
        ((30, 50), "disagrees"),
        (None, "cannot be told"),
    ],
)
def test_values_are_judged_only_by_intervals_that_say_something(found, verdict):
    value = Value("depth", "regnet", 20, 20, "section 4")
    best = found and BestValue(found[0], sum(found) / 2, found[1], 0.95, 16, 0)
    assert placed(value, best, (8, 60)) == verdict


def test_the_page_keeps_all_but_its_tables():
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert with_results(page, "new") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    assert with_results(with_results(page, "new"), "new") == with_results(page, "new")
    with pytest.raises(MixnasError, match="no lines <!-- results: begin -->"):
        with_results("no place", "new")


def test_the_page_of_the_docs_has_a_place_for_them():
    assert with_results(PAGE.read_text(), "new") != PAGE.read_text()


def test_with_fewer_than_eight_networks_nothing_is_said_about_best_values():
    value = Value("depth", "regnet", 20, 20, "section 4")
    assert placed(value, BestValue(19, 20, 21, 0.95, 8, 0), (8, 60)) == "agrees"
    assert placed(value, BestValue(19, 20, 21, 0.95, 7, 0), (8, 60)) == "cannot be told"
