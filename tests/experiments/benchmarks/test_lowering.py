from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from experiments.benchmarks import lowering
from experiments.benchmarks.lowering import beside_earlier, every_reference
from nas.cost import count
from nas.errors import UnrunnableError
from nas.latency.deployment import TRAINED
from nas.spec import load_network

DEVICE = SimpleNamespace(runtime=SimpleNamespace(threads=1, pins_threads=False))


class Runs:
    """Runs of a network that take the same time, apart from those of its first timed turns.

    Attributes:
        number: How often it ran.
    """

    def __init__(self, ms, disturbed_ms=0.0, disturbed=range(0)):
        self.ms, self.disturbed_ms, self.disturbed = ms, disturbed_ms, disturbed
        self.number = 0

    def __call__(self):
        self.number += 1
        return self.disturbed_ms if self.number in self.disturbed else self.ms


@pytest.fixture
def networks(monkeypatch):
    """What networks take, as trained and as deployed, with the names of their forms."""
    found = {}

    def deployed(device, spec):
        trained, run, form = found[spec.name]
        if form is None:
            raise UnrunnableError("the runtime has no such operator")
        return {"trained": trained, "deployed": run}, form

    monkeypatch.setattr(lowering, "deployed", deployed)
    monkeypatch.setattr(lowering, "machine_for", lambda use: nullcontext())
    return found


def test_references_are_timed_as_deployed_against_as_trained(networks, capsys):
    same = Runs(5.0)
    networks |= {
        "mixnet_s": (Runs(10.0), Runs(8.0), "phases"),
        "mobilenet_v2": (same, same, TRAINED),
        "mobilenet_v3_small": (Runs(4.0), Runs(5.0), "merged"),
        "ghostnet_100": (None, None, None),
    }
    names = ["mixnet_s", "mobilenet_v2", "mobilenet_v3_small", "ghostnet_100", "vgg_16"]
    result = every_reference(DEVICE, names, largest=2_000_000_000)
    assert result["networks"][0] == {
        "network": "mixnet_s",
        "madds": count(load_network("mixnet_s")).madds,
        "ratio": 0.8,
        "form": "phases",
        "trained_ms": 10.0,
        "deployed_ms": 8.0,
    }
    assert [row["ratio"] for row in result["networks"]] == [0.8, 1.0, 1.25]
    assert result["left_out"] == {
        "ghostnet_100": "the runtime has no such operator",
        "vgg_16": "more than 2G multiply-adds",
    }
    assert result["summary"]["slower"] == ["mobilenet_v3_small"]
    assert result["summary"]["networks"] == 3
    said = capsys.readouterr().out
    assert "vgg_16                   left out: more than 2G multiply-adds" in said
    assert "3 networks timed, 2 left out; more than 3% slower as deployed: mobilenet_v3" in said


def test_a_network_that_seems_slower_is_timed_again(networks):
    # Warming up takes ten runs; then every one of the first turns is disturbed.
    turns = lowering.MEMBER_ROUNDS * (lowering.SETTLE + lowering.MEMBER_RUNS)
    once = Runs(9.0, disturbed_ms=20.0, disturbed=range(11, 11 + turns))
    networks["mixnet_s"] = (Runs(10.0), once, "merged")
    (row,) = every_reference(DEVICE, ["mixnet_s"], largest=10**9)["networks"]
    assert row["ratio"] == 0.9
    assert once.number > 5 * turns


def test_a_slow_network_runs_less_often(networks):
    quick, slow = Runs(10.0), Runs(lowering.SLOW_MS + 1)
    networks |= {"mixnet_s": (Runs(10.0), quick, "merged"), "mixnet_m": (slow, slow, TRAINED)}
    every_reference(DEVICE, ["mixnet_s", "mixnet_m"], largest=10**9)
    timed = lowering.MEMBER_ROUNDS * (lowering.SETTLE + lowering.MEMBER_RUNS)
    assert quick.number == 10 + timed
    assert slow.number < 2 * quick.number  # as trained and as deployed are the same one


def test_a_record_keeps_the_networks_that_are_not_timed_again(networks):
    networks |= {
        "mixnet_s": (Runs(10.0), Runs(8.0), "phases"),
        "mobilenet_v2": (Runs(5.0), Runs(4.5), "merged"),
    }
    origin = {"command": "before", "when": "2026-01-01", "machine": "a board", "cores": 4}
    first = every_reference(DEVICE, ["mixnet_s", "vgg_16"], largest=10**9)
    assert beside_earlier(first, {}) == first
    networks["mixnet_s"] = (Runs(10.0), Runs(12.0), "phases")
    again = every_reference(DEVICE, ["mobilenet_v2", "mixnet_s"], largest=10**8 * 6)
    both = beside_earlier(again, {**first, **origin})
    assert [(row["network"], row["ratio"]) for row in both["networks"]] == [
        ("mixnet_s", 1.2),
        ("mobilenet_v2", 0.9),
    ]
    assert both["summary"]["networks"] == 2
    assert both["summary"]["slower"] == ["mixnet_s"]
    assert (both["largest_madds"], both["left_out"]) == (10**9, first["left_out"])
    assert both["earlier"] == [origin]
