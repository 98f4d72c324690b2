import math

import psutil
import pytest

from nas.cost import count
from nas.executors.base import Resources, Task, default_resources
from nas.machine import usable_cores
from nas.named import TimmNetwork
from tests.networks import TINY


def test_nodes_give_a_worker_the_share_of_its_threads(monkeypatch):
    total = psutil.virtual_memory().total
    monkeypatch.setattr("nas.executors.base.usable_cores", lambda: 8)
    assert Resources(1, threads=2).node_allowance == int(0.9 * total * 0.25)
    assert Resources(1, threads=16).node_allowance == int(0.9 * total)
    assert Resources(1, threads=2, memory=7).node_allowance == 7


@pytest.mark.parametrize(
    ("cores", "gibibytes", "expected"),
    [(8, 64, (8, 1)), (8, 6, (4, 2)), (8, 1, (1, 8)), (1, 64, (1, 1))],
)
def test_memory_may_forbid_a_worker_per_core(monkeypatch, cores, gibibytes, expected):
    class Memory:
        total = gibibytes << 30

    monkeypatch.setattr("nas.executors.base.usable_cores", lambda: cores)
    monkeypatch.setattr("psutil.virtual_memory", lambda: Memory)
    assert default_resources() == expected


def test_the_default_uses_the_cores_of_this_machine():
    workers, threads = default_resources()
    assert 1 <= workers * threads <= usable_cores()


def test_what_is_unknown_before_it_is_built_counts_as_the_longest():
    tasks = [Task(TINY, 0), Task(TimmNetwork("timm:resnet18", 10, 32), 0)]
    assert [task.madds for task in tasks] == [count(TINY).madds, math.inf]
