"""What every executor must do, as tests to subclass (pytest)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

from nas.accuracy.base import Estimate, Estimator
from nas.errors import MixnasError
from nas.executors.base import Executor, Failure, FixedQueue, Key, Resources, Task
from nas.spec import load_network
from nas.testing.fakes import Scripted, Staged

NETWORK = load_network("mixnet_s")


def tasks(*seeds: int) -> dict[Key, Task]:
    """Return tasks for `nas.testing.fakes.Scripted`, whose seeds decide what happens."""
    return {seed: Task(NETWORK, seed) for seed in seeds}


class ExecutorContract:
    """Tests of an executor; a subclass implements `executor`."""

    @abstractmethod
    def executor(self, estimator: Estimator, resources: Resources) -> Executor:
        """Return an executor that judges networks by an estimator."""

    def drain(self, estimator: Estimator, resources: Resources, *seeds: int) -> FixedQueue:
        """Judge the networks of some tasks; return the queue with their results."""
        queue = FixedQueue(tasks(*seeds))
        with self.executor(estimator, resources) as executor:
            assert executor.recover(queue) == []
            executor.drain(queue)
        return queue

    def test_every_task_has_one_result(self) -> None:
        """Results come back under the keys of their tasks."""
        queue = self.drain(Scripted(), Resources(2), *range(6))
        accuracies = {key: _accuracy(result) for key, result in queue.results.items()}
        assert accuracies == {seed: seed / 100 for seed in range(6)}
        assert queue.finished

    def test_failures_are_results_with_reasons(self) -> None:
        """An error in one network's training costs that network only."""
        results = self.drain(Scripted(), Resources(2), 1, 13, 14, 16).results
        assert results[13] == Failure("the training loss is nan in epoch 1")
        assert results[14] == Failure("RuntimeError: a bug")
        assert results[16] == Failure("the accuracy is nan, but must lie between 0 and 1")
        assert _accuracy(results[1]) == 0.01

    def test_a_task_that_takes_too_long_is_ended(self) -> None:
        """The time limit of a task holds, and the others go on."""
        results = self.drain(Scripted(), Resources(2, seconds=1), 1, 15, 2).results
        assert results[15] == Failure("it took longer than 1 s (--trial-timeout)")
        assert (_accuracy(results[1]), _accuracy(results[2])) == (0.01, 0.02)

    def test_stages_end_with_a_result(self) -> None:
        """Tasks of an estimator with stages end with the last one, or are stopped before it."""
        queue = self.drain(Staged(), Resources(1), 1, 2, 3)
        assert set(queue.results) == {1, 2, 3}
        assert all(isinstance(result, Estimate) for result in queue.results.values())

    def test_an_error_of_the_queue_ends_the_work(self) -> None:
        """What a queue raises reaches whoever asked for the work."""

        class Broken(FixedQueue):
            def take(self, waiting: int, running: int, workers: int) -> Mapping[Key, Task]:
                if self.results:
                    raise MixnasError("the disk is full")
                return super().take(waiting, running, workers)

        raised = None
        with self.executor(Scripted(), Resources(1)) as executor:
            try:
                executor.drain(Broken(tasks(1, 2, 3)))
            except MixnasError as error:
                raised = str(error)
        assert raised == "the disk is full"


def _accuracy(result: Estimate | Failure) -> float | None:
    assert isinstance(result, Estimate), result
    return result.accuracy
