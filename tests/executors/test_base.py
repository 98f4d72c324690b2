import psutil
import pytest

from nas.accuracy import Estimate
from nas.executors.base import Failure, FixedQueue, Resources, Stage, Task, default_resources
from nas.machine import usable_cores
from nas.spec import load_network

SPEC = load_network("mixnet_s")


def test_a_fixed_queue_hands_out_what_there_is_room_for():
    queue = FixedQueue({name: Task(SPEC, 0) for name in "abcde"})
    assert list(queue.take(waiting=0, running=0, workers=2)) == ["a", "b"]
    assert list(queue.take(waiting=1, running=1, workers=2)) == []
    assert list(queue.take(waiting=3, running=3, workers=2)) == []
    assert not queue.finished
    assert list(queue.take(waiting=0, running=1, workers=9)) == ["c", "d", "e"]
    assert queue.finished


def test_a_fixed_queue_keeps_results():
    queue = FixedQueue({"a": Task(SPEC, 0), "b": Task(SPEC, 0)})
    queue.finish("a", Failure("lost"))
    early = Estimate(0.5, 0.1, 0.0, 0)
    queue.give_up("b", Stage(early, number=1, last=False))
    assert queue.results == {"a": Failure("lost"), "b": early}
    assert queue.adopt([])
    assert not queue.adopt(["a"])


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
