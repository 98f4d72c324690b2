import gzip
import json
import random

import pandas as pd
import pytest
import yaml

from nas.accuracy.base import EstimateError
from nas.accuracy.table import TableLookup, read_networks
from nas.errors import MixnasError
from nas.space import load_space, sample
from nas.space.loader import find_document
from tests.fuzzing import mutants, outcomes
from tests.networks import DEEP, TINY


@pytest.fixture
def table(tmp_path):
    TINY.save(tmp_path / "tiny.yaml")
    rows = [
        {"spec": "tiny.yaml", "accuracy": 0.9},
        {"spec": DEEP.to_dict(), "accuracies": [0.93, 0.95]},
    ]
    path = tmp_path / "table.json"
    path.write_text(json.dumps({"networks": rows}), encoding="utf-8")
    return path


def test_networks_are_read_from_json(table):
    tiny, deep = read_networks(table)
    assert (tiny.spec, tiny.accuracies) == (TINY, (0.9,))
    assert deep.accuracy == pytest.approx(0.94)


def test_networks_are_read_from_csv(table):
    path = table.with_suffix(".csv")
    pd.DataFrame({"spec": ["tiny.yaml"], "accuracy": [0.9]}).to_csv(path, index=False)
    assert read_networks(path)[0].spec == TINY


def test_the_estimator_looks_up_networks(table):
    lookup = TableLookup(str(table))
    assert lookup.estimate(TINY, 3).accuracy == 0.9
    assert [lookup.estimate(DEEP, seed).accuracy for seed in (0, 1, 2)] == [0.93, 0.95, 0.93]
    assert lookup.estimate(TINY.replace(name="other", num_classes=7), 0).accuracy == 0.9
    with pytest.raises(EstimateError, match=r"the network is not among the 2 of the table"):
        lookup.estimate(TINY.replace(padding="same"), 0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1]", "is not a table of networks"),
        ('{"networks": []}', "has no trained networks"),
        ('{"networks": [{"accuracy": 0.9}]}', "network 1: 'spec' must be a network or the path"),
        ('{"networks": [{"spec": "none.yaml", "accuracy": 0.9}]}', "none.yaml"),
        ("{", "cannot be read"),
        ("[" * 100_000, "cannot be read: maximum recursion depth"),
        ('{"networks": [{"spec": "tiny.yaml", "accuracy": ' + "9" * 9999 + "}]}", "cannot be read"),
        ('{"networks": [{"spec": "tiny.yaml", "accuracies": 0.9}]}', "tiny.yaml"),
    ],
)
def test_an_invalid_table_is_refused_with_the_place(tmp_path, text, said):
    path = tmp_path / "table.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(MixnasError, match=said):
        read_networks(path)


def a_run(folder, accuracy):
    """The tables of a search, with one trial."""
    space = load_space("mixnet")
    genotype = sample(space, random.Random(0)).genotype
    row = {f"x.{name}": value for name, value in space.to_params(genotype).items()}
    path = folder / "trials.csv"
    pd.DataFrame([{**row, "accuracy": accuracy}]).to_csv(path, index=False)
    document = find_document("mixnet").data
    (folder / "space.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def test_a_runs_networks_have_the_classes_of_its_data(tmp_path):
    """The space in a run directory does not know them."""
    path = a_run(tmp_path, 0.5)
    space = load_space("mixnet").with_classes(7)
    expected = space.decode(sample(load_space("mixnet"), random.Random(0)).genotype)
    (network,) = read_networks(path, classes=7)
    assert network.spec == expected


@pytest.mark.parametrize("value", [True, "0.9", None, -0.1, float("nan"), 10**400, [0.9], {}])
def test_accuracies_are_fractions(table, value):
    rows = json.loads(table.read_text(encoding="utf-8"))
    rows["networks"][0]["accuracy"] = value
    table.write_text(json.dumps(rows), encoding="utf-8")
    with pytest.raises(MixnasError, match="network 1: accuracies must be fractions from 0 to 1"):
        read_networks(table)


@pytest.mark.parametrize(("kind", "count"), [("json", 100), ("csv", 100), ("trials", 8)])
def test_whatever_is_in_a_table_it_is_read_or_refused(table, kind, count):
    path = table
    if kind == "csv":
        path = table.with_suffix(".csv")
        pd.DataFrame({"spec": ["tiny.yaml"] * 2, "accuracy": [0.9, 0.8]}).to_csv(path, index=False)
    if kind == "trials":
        path = a_run(table.parent, 0.5)
    whole = path.read_bytes()

    def read(raw):
        path.write_bytes(raw)
        read_networks(path)

    counts = outcomes(read, [whole, *mutants(whole, count)])
    assert counts[0] >= 1
    assert counts[1] > count / 4


def test_accuracies_with_shared_weights_are_no_table(tmp_path):
    path = a_run(tmp_path, 0.5)
    conditions = tmp_path / "conditions.yaml"
    for text in ("scores: {estimator: short}", "scores: []", "[]"):
        conditions.write_text(text, encoding="utf-8")
        assert len(read_networks(path)) == 1
    conditions.write_text("scores: {estimator: supernet}", encoding="utf-8")
    with pytest.raises(MixnasError, match=r"no trained networks: .* those of a supernet"):
        read_networks(path)


def test_packed_tables_are_not_unpacked(tmp_path):
    path = tmp_path / "table.csv.gz"
    path.write_bytes(gzip.compress(b"accuracy,spec\n" + b"0.5,tiny.yaml\n" * 500_000))
    with pytest.raises(MixnasError, match=r"table\.csv\.gz cannot be read"):
        read_networks(path)


def test_percentages_are_refused(table):
    rows = json.loads(table.read_text(encoding="utf-8"))
    rows["networks"][0]["accuracy"] = 93.1
    table.write_text(json.dumps(rows), encoding="utf-8")
    with pytest.raises(MixnasError, match=r"network 1: accuracies must be fractions .*93\.1"):
        read_networks(table)
    with pytest.raises(MixnasError, match="there is no table"):
        read_networks(table.parent / "missing.json")


def test_rows_of_a_csv_without_accuracy_are_left_out(table):
    path = table.with_suffix(".csv")
    rows = {"spec": ["tiny.yaml", "tiny.yaml"], "accuracy": [None, 0.4]}
    pd.DataFrame(rows).to_csv(path, index=False)
    (network,) = read_networks(path)
    assert network.accuracies == (0.4,)
    pd.DataFrame({"spec": ["tiny.yaml"]}).to_csv(path, index=False)
    with pytest.raises(MixnasError, match="has no column 'accuracy'; add one"):
        read_networks(path)
    pd.DataFrame({"accuracy": [0.4]}).to_csv(path, index=False)
    with pytest.raises(MixnasError, match=r"no column 'spec', and there is no space\.yaml"):
        read_networks(path)


def test_the_fingerprint_follows_from_the_accuracies(table, tmp_path):
    fingerprint = TableLookup(str(table)).fingerprint()
    assert fingerprint["estimator"] == "table"
    rows = json.loads(table.read_text(encoding="utf-8"))
    for change, same in (({"name": "anything"}, True), ({"accuracy": 0.91}, False)):
        rows["networks"][0].update(change)
        other = tmp_path / f"other-{same}.json"
        other.write_text(json.dumps(rows), encoding="utf-8")
        assert (TableLookup(str(other)).fingerprint() == fingerprint) is same


def test_preparing_reads_the_table(table, tmp_path):
    assert TableLookup(str(table)).prepare() == []
    with pytest.raises(MixnasError, match="there is no table"):
        TableLookup(str(tmp_path / "missing.json")).prepare()
