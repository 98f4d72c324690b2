"""The contract of executors, as pytest tests to subclass."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping

from nas.accuracy.base import Estimate, Estimator
from nas.errors import MixnasError
from nas.executors.base import Executor, Failure, Key, Resources, Result, Stage, Task
from nas.spec import load_network
from nas.testing.fakes import Scripted, Staged

NETWORK = load_network("mixnet_s")
"""The network that is handed to executors."""


def tasks(*seeds: int) -> dict[Key, Task]:
    """Return tasks for `nas.testing.fakes.Scripted`, whose seeds decide what happens."""
    return {seed: Task(NETWORK, seed) for seed in seeds}


class FixedQueue:
    """A queue of tasks that are known in advance.

    Attributes:
        results: The results so far, by key.
    """

    def __init__(self, tasks: Mapping[Key, Task]) -> None:
        """Take the tasks.

        Args:
            tasks: Tasks by key, in the order in which they are to run.
        """
        self._tasks: dict[Key, Task] = dict(tasks)
        self._taken: set[Key] = set()
        self.results: dict[Key, Result] = {}

    @property
    def finished(self) -> bool:
        """See `TaskQueue`."""
        return not self._tasks

    def take(self, waiting: int, running: int, workers: int) -> Mapping[Key, Task]:
        """See `TaskQueue`."""
        free = max(0, workers - waiting - running)
        taken = {key: self._tasks.pop(key) for key in list(self._tasks)[:free]}
        self._taken |= taken.keys()
        return taken

    def adopt(self, keys: Collection[Key]) -> bool:
        """See `TaskQueue`; nothing was left running."""
        return not keys

    def finish(self, key: Key, result: Result) -> None:
        """See `TaskQueue`.

        Raises:
            AssertionError: If the task was never taken, or has a result already.
        """
        assert key in self._taken, f"task {key} was never taken"
        assert key not in self.results, f"task {key} has a result already"
        self.results[key] = result

    def give_up(self, key: Key, stage: Stage) -> None:
        """See `TaskQueue`; the result of the stage counts."""
        self.finish(key, stage.result)


class ExecutorContract:
    """Tests of an executor; a subclass implements `executor`."""

    @abstractmethod
    def executor(self, estimator: Estimator, resources: Resources) -> Executor:
        """Return an executor that evaluates networks with an estimator."""

    def drain(self, estimator: Estimator, resources: Resources, *seeds: int) -> FixedQueue:
        """Evaluate the networks of some tasks; return the queue with their results."""
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

    def test_a_process_that_dies_costs_its_own_task(self) -> None:
        """A crash of native code is a failure of that network, and the others go on."""
        results = self.drain(Scripted(), Resources(2), 1, 666, 2).results
        assert isinstance(results[666], Failure)
        assert "signal 9" in results[666].reason
        assert (_accuracy(results[1]), _accuracy(results[2])) == (0.01, 0.02)

    def test_a_queue_that_has_nothing_for_a_while_is_asked_again(self) -> None:
        """A queue need not hand anything out at once: its proposals may all have been refused."""

        class Hesitant(FixedQueue):
            asked = 0

            def take(self, waiting: int, running: int, workers: int) -> Mapping[Key, Task]:
                self.asked += 1
                return super().take(waiting, running, workers) if self.asked % 3 == 0 else {}

        queue = Hesitant(tasks(1, 2, 3))
        with self.executor(Scripted(), Resources(1)) as executor:
            executor.drain(queue)
        assert set(queue.results) == {1, 2, 3}

    def test_an_error_of_the_queue_ends_the_work(self) -> None:
        """An exception raised by the queue reaches the caller."""

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
