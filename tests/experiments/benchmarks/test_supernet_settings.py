import json

import pytest

from experiments.benchmarks.supernet_settings import (
    line,
    read_scores,
    result_path,
    scored,
    summary,
)
from nas.accuracy.pool import ListedPool
from nas.accuracy.table import TrainedNetwork
from tests.networks import DEEP, TINY

WIDE = TINY.replace(stages=DEEP.stages[:1], name="wide")
NETWORKS = [
    TrainedNetwork(TINY, (0.5,)),
    TrainedNetwork(DEEP, (0.6,)),
    TrainedNetwork(WIDE, (0.7,)),
]


def scores(*suggested):
    found = zip(NETWORKS, suggested, strict=True)
    return {
        "core_seconds": 100 * suggested[0][0],
        "seconds_per_network": suggested[0][0],
        "scores": {network.spec.digest(): each for network, each in found},
    }


RISING, FALLING = scores([1, 0], [1, 2], [4, 1]), scores([3, 0], [1, 1], [0, 1])


def test_every_supernet_of_a_setting_has_its_tau():
    row = summary("mixnet", "shrinking", NETWORKS, [RISING, FALLING])
    assert row["settings"] == "shrinking=0.3"
    assert row["core_seconds"] == 200
    assert [each["tau"]["value"] for each in row["supernets"]] == pytest.approx([1, -1])
    assert [each["n"] for each in row["supernets"]] == [3, 3]
    assert row["seconds_per_network"] == 2
    assert "200 core-seconds: 1.000" in line(row)


@pytest.mark.parametrize(
    ("found", "accuracy_alone", "others_alone"),
    [
        (scores([1, 1], [3, 1], [2, 4]), 1 / 3, (2 / 3) ** 0.5),
        (scores([2, 0], [2.5, 1.5], [1.5, 4.5]), -1 / 3, 1),
        (scores([1, 0, 2], [2, 3, 1], [9, 1, -1]), 1, -1 / 3),  # the others suggest 1, 2 and 0
        (scores([1], [2], [3]), 1, 1),
    ],
)
def test_estimates_are_told_apart(found, accuracy_alone, others_alone):
    (supernet,) = summary("mixnet", "default", NETWORKS, [found])["supernets"]
    shares = {each["share"]: each["tau"]["value"] for each in supernet["shares"]}
    assert list(shares) == [0, 1 / 3, 2 / 3, 1]
    assert (shares[0], shares[1]) == pytest.approx((accuracy_alone, others_alone))


def test_networks_that_joined_the_table_later_are_left_out():
    later = TrainedNetwork(TINY.replace(num_classes=11), (0.9,))
    (found,) = summary("mixnet", "default", [*NETWORKS, later], [RISING])["supernets"]
    assert found["n"] == 3


def test_scores_are_read_of_the_supernets_that_were_trained(tmp_path):
    path = result_path(tmp_path, "mixnet", "two paths", 1)
    path.write_text(json.dumps(RISING), encoding="utf-8")
    other = result_path(tmp_path, "mixnet", "two paths", 0)
    other.write_text(json.dumps(FALLING), encoding="utf-8")
    found = read_scores(tmp_path, "mixnet", "two paths")
    assert [each["core_seconds"] for each in found] == [300, 100]


def test_a_supernet_is_trained_and_scores_the_networks(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path))
    pool = ListedPool([network.spec for network in NETWORKS])
    found = scored("digits", NETWORKS, pool, "images=640,resolution=16,paths=2,seed=1")
    assert set(found["scores"]) == {network.spec.digest() for network in NETWORKS}
    assert all(len(suggested) == 2 for suggested in found["scores"].values())
    assert found["core_seconds"] >= 0
    again = scored("digits", NETWORKS, pool, "images=640,resolution=16,paths=2,seed=1")
    assert again == found | {
        "core_seconds": None,  # the cache had the weights
        "seconds_per_network": again["seconds_per_network"],
    }
