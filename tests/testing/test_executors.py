"""Our executors keep the contract that users' own ones are tested by."""

import uuid

import pytest

from nas.executors.base import Failure
from nas.executors.local import LocalExecutor
from nas.testing.executors import ExecutorContract


class TestLocalExecutor(ExecutorContract):
    def executor(self, estimator, resources):
        return LocalExecutor(estimator, resources)


@pytest.mark.slow
@pytest.mark.usefixtures("ray_here")
class TestTuneExecutor(ExecutorContract):
    def executor(self, estimator, resources):
        from nas.search.tune import TuneExecutor

        return TuneExecutor(estimator, resources, gpus=0, name=uuid.uuid4().hex)


@pytest.fixture(scope="module")
def ray_here():
    ray = pytest.importorskip("ray")
    from nas.executors.ray_cluster import connect

    connect("local", 2)
    yield
    ray.shutdown()


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
