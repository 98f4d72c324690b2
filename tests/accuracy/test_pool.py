import pickle
import random

import pytest

from nas.accuracy.pool import ListedPool, SpacePool
from nas.cost import count
from nas.limits import parse_limits
from nas.space import load_space
from tests.networks import DEEP, TINY

SPACE = load_space("mixnet").with_classes(10)


def fingerprint(*limits):
    return SpacePool(SPACE, tuple(parse_limits(list(limits)))).fingerprint()


def test_a_space_draws_networks_within_the_limits():
    pool = SpacePool(SPACE, tuple(parse_limits(["madds=250M..300M"])))
    drawn = [pool.draw(random.Random(seed)) for seed in range(5)]
    assert all(250e6 <= count(spec).madds <= 300e6 for spec in drawn)
    assert len({spec.digest() for spec in drawn}) > 1
    assert pool.draw(random.Random(3)) == drawn[3]


def test_the_fingerprint_of_a_space_follows_from_its_networks_and_limits():
    plain = fingerprint()
    assert plain == {"space": plain["space"], "limits": []}
    assert fingerprint("madds=400M", "params=5M")["limits"] == [
        "madds <= 400M",
        "params <= 5M",
    ]
    assert fingerprint("params=5M", "madds=400M") == fingerprint("madds=400M", "params=5M")
    assert fingerprint("madds=300M") != fingerprint("madds=400M")
    other = SpacePool(load_space("mixnet").with_classes(7)).fingerprint()
    assert other["space"] != plain["space"]


def test_limits_on_latency_are_left_out_of_the_fingerprint():
    assert fingerprint("latency=8ms") == fingerprint()


def test_listed_networks_are_drawn_evenly():
    pool = ListedPool([TINY, DEEP])
    rng = random.Random(0)
    names = [pool.draw(rng).name for _ in range(400)]
    assert names.count("tiny") == pytest.approx(200, abs=40)


def test_the_fingerprint_of_a_list_follows_from_its_networks():
    both = ListedPool([TINY, DEEP]).fingerprint()
    assert set(both) == {"networks"}
    assert both == ListedPool([TINY.replace(name="other"), DEEP]).fingerprint()
    assert both != ListedPool([TINY]).fingerprint()
    assert both != ListedPool([DEEP, TINY]).fingerprint()


@pytest.mark.parametrize("name", ["mixnet", "mixnet_ladder", "mnasnet"])
def test_a_pool_can_be_sent_to_other_processes(name):
    pool = SpacePool(load_space(name), tuple(parse_limits(["madds=400M"])))
    expected = pool.draw(random.Random(0))
    assert pickle.loads(pickle.dumps(pool)).draw(random.Random(0)) == expected  # noqa: S301
