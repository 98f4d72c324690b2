"""Our executors keep the contract that users' own ones are tested by."""

import os
import uuid

import pytest

from nas.accuracy import Estimate
from nas.executors.base import Failure, Resources, Stage, Task
from nas.executors.local import LocalExecutor
from nas.testing.executors import NETWORK, ExecutorContract, FixedQueue
from nas.testing.fakes import Scripted


class TestLocalExecutor(ExecutorContract):
    def executor(self, estimator, resources):
        return LocalExecutor(estimator, resources)


@pytest.mark.slow
@pytest.mark.usefixtures("ray_here")
class TestTuneExecutor(ExecutorContract):
    def executor(self, estimator, resources):
        from nas.search.tune import TuneExecutor

        return TuneExecutor(estimator, resources, gpus=0, name=uuid.uuid4().hex)

    def test_a_process_that_dies_as_it_is_given_a_network_costs_nothing(
        self, tmp_path, monkeypatch
    ):
        from nas.search import tune

        died = tmp_path / "died"

        class Mortal(tune.NetworkTrial):
            def reset_config(self, new_config):
                if not died.exists():
                    died.touch()
                    os._exit(1)
                return super().reset_config(new_config)

        monkeypatch.setattr(tune, "NetworkTrial", Mortal)
        results = self.drain(Scripted(), Resources(1), 1, 2, 3).results
        assert died.exists()
        accuracies = {key: result.accuracy for key, result in results.items()}
        assert accuracies == {1: 0.01, 2: 0.02, 3: 0.03}


@pytest.fixture(scope="module")
def ray_here():
    ray = pytest.importorskip("ray")
    from nas.executors.ray_cluster import connect

    connect("local", 2)
    yield
    ray.shutdown()


def test_the_contract_notices_a_result_that_comes_twice():
    class Repeats(LocalExecutor):
        def drain(self, queue):
            finish = queue.finish

            def twice(key, result):
                finish(key, result)
                finish(key, result)

            queue.finish = twice
            super().drain(queue)

    class Contract(ExecutorContract):
        def executor(self, estimator, resources):
            return Repeats(estimator, resources)

    with pytest.raises(AssertionError, match="has a result already"):
        Contract().test_every_task_has_one_result()


def test_a_fixed_queue_hands_out_what_there_is_room_for():
    queue = FixedQueue({name: Task(NETWORK, 0) for name in "abcde"})
    assert list(queue.take(waiting=0, running=0, workers=2)) == ["a", "b"]
    assert list(queue.take(waiting=1, running=1, workers=2)) == []
    assert list(queue.take(waiting=3, running=3, workers=2)) == []
    assert not queue.finished
    assert list(queue.take(waiting=0, running=1, workers=9)) == ["c", "d", "e"]
    assert queue.finished


def test_a_fixed_queue_keeps_results():
    queue = FixedQueue({"a": Task(NETWORK, 0), "b": Task(NETWORK, 0)})
    queue.take(waiting=0, running=0, workers=2)
    queue.finish("a", Failure("lost"))
    early = Estimate(0.5, 0.1, 0.0, 0)
    queue.give_up("b", Stage(early, number=1, last=False))
    assert queue.results == {"a": Failure("lost"), "b": early}
    assert queue.adopt([])
    assert not queue.adopt(["a"])


def test_the_contract_notices_a_lost_result():
    class Loses(LocalExecutor):
        def drain(self, queue):
            finish = queue.finish
            queue.finish = lambda key, result: (
                finish(key, Failure("lost")) if key == 3 else (finish(key, result))
            )
            super().drain(queue)

    class Contract(ExecutorContract):
        def executor(self, estimator, resources):
            return Loses(estimator, resources)

    with pytest.raises(AssertionError, match="lost"):
        Contract().test_every_task_has_one_result()
