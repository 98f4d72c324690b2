import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau
from typer.testing import CliRunner

from experiments.mixnet_table.networks import planned, references
from experiments.mixnet_table.tables import publish, summary, training_rows
from experiments.mixnet_table.trainings import TrainingResult, fill
from nas.accuracy.table import TableLookup, read_networks
from nas.cost import count
from nas.rank.__main__ import app

IMAGES = 20
LABELS = np.arange(IMAGES) % 10
NETWORKS = references()
HITS = {
    "mixnet_s": (14, 15),
    "mixnet_m": (12, 10),
    "mobilenet_v2": (8, 11),
    "efficientnet_b0": (16, 16),
}


def pretended(spec, seed):
    """Pretend to train a network that classifies the first images correctly, and no others."""
    hits = np.arange(IMAGES) < HITS[spec.name][seed]
    return TrainingResult(spec.name, seed, hits, {"test_loss": 1.5, "seconds": 2.0})


@pytest.fixture
def folder(tmp_path):
    facts = {"training": "short:images=60000", "fingerprint": {"images": 60_000}}
    planned(tmp_path / "table", facts, references)
    return tmp_path / "table"


def filled(folder, seeds=2, train=pretended):
    fill(folder, NETWORKS, seeds, train, lambda: publish(folder, NETWORKS, LABELS), lambda _: None)


def test_the_table_is_one_of_trained_networks(folder):
    filled(folder)
    found = read_networks(folder / "table.json")
    assert [network.spec for network in found] == NETWORKS
    assert [network.accuracies for network in found] == [
        tuple(number / IMAGES for number in HITS[spec.name]) for spec in NETWORKS
    ]
    lookup = TableLookup(str(folder / "table.json"))
    assert lookup.estimate(NETWORKS[1], seed=1).accuracy == 0.5
    document = json.loads((folder / "table.json").read_text())
    assert document["training"] == "short:images=60000"
    assert document["networks"][0]["madds"] == count(NETWORKS[0]).madds


def test_rankings_read_it(folder, tmp_path):
    filled(folder)
    words = ["--table", str(folder / "table.json"), "--estimator", "zero-cost:params"]
    words += ["--data", "digits", "--out", str(tmp_path / "rank"), "--workers", "1", "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    card = json.loads((tmp_path / "rank" / "card.json").read_text())
    assert card["n"] == 4
    expected, _ = kendalltau(*zip(*HITS.values(), strict=True))
    assert card["seeds"]["value"] == pytest.approx(expected)


def test_a_table_that_is_not_finished_can_be_read(folder):
    filled(folder, seeds=1)
    assert [network.accuracy for network in read_networks(folder / "table.json")] == [
        HITS[spec.name][0] / IMAGES for spec in NETWORKS
    ]
    assert "tau_between_seeds" not in json.loads((folder / "table.json").read_text())["summary"]


def test_the_hits_of_every_training_are_kept_as_bits(folder):
    filled(folder)
    with np.load(folder / "hits.npz", allow_pickle=False) as file:
        assert file["hits"].shape == (8, 3)  # 20 bits in three bytes
        hits = np.unpackbits(file["hits"], axis=1, count=len(file["labels"]))
        counts = dict(
            zip(zip(file["networks"], file["seeds"], strict=True), hits.sum(1), strict=True)
        )
        assert np.array_equal(file["labels"], LABELS)
    assert counts == {(name, seed): both[seed] for name, both in HITS.items() for seed in (0, 1)}
    assert (np.diff(hits.astype(int), axis=1) <= 0).all()  # the first images


def test_every_training_has_a_row(folder):
    filled(folder)
    rows = pd.read_csv(folder / "table.csv")
    assert list(rows.columns) == [
        "network", "spec_hash", "madds", "params", "seed", "test_accuracy", "test_loss", "seconds"
    ]  # fmt: skip
    assert list(rows["network"]) == [spec.name for spec in NETWORKS for _ in range(2)]
    assert list(rows["seed"]) == [0, 1] * 4
    assert rows.loc[3, "test_accuracy"] == 0.5


def test_trainings_that_failed_are_in_no_table(folder):
    def failing(spec, seed):
        if spec.name == "mixnet_m" or seed == 1:
            return TrainingResult(spec.name, seed, None, {}, "the training loss is nan")
        return pretended(spec, seed)

    filled(folder, train=failing)
    assert len(pd.read_csv(folder / "table.csv")) == 3
    assert len(read_networks(folder / "table.json")) == 3


def test_the_summary_tells_how_far_networks_and_seeds_are_apart():
    results = [pretended(spec, seed) for spec in NETWORKS for seed in (0, 1)]
    found = summary(training_rows(results, NETWORKS))
    assert (found["trainings"], found["networks"], found["networks_with_both_seeds"]) == (8, 4, 4)
    assert found["accuracy_lowest"] == pytest.approx((8 + 11) / 2 / IMAGES)
    assert found["accuracy_highest"] == 16 / IMAGES
    # Half the squared difference is the variance of two.
    differences = np.array([one - two for one, two in HITS.values()]) / IMAGES
    expected = np.sqrt((differences**2 / 2).mean())
    assert found["accuracy_between_seeds_sd"] == pytest.approx(expected, abs=1e-5)
    tau = found["tau_between_seeds"]
    assert tau["value"] == pytest.approx(kendalltau(*zip(*HITS.values(), strict=True))[0])
    assert tau["low"] <= tau["value"] <= tau["high"]
    assert summary(training_rows([], NETWORKS)) == {"trainings": 0}
