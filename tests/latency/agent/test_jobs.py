"""The job queue, without a server and without processes."""

import asyncio
from types import SimpleNamespace

import pytest

from nas.latency.agent import jobs as jobs_module
from nas.latency.agent.jobs import BusyError, Job, JobQueue
from nas.latency.agent.messages import JobLimits, JobResult, JobSpec

DONE, FAILED = JobResult(answer={"n": 1}), JobResult(failure="it crashed")


def job(identity, kind="measurement"):
    return Job(identity, JobSpec(kind, "onnxruntime:cpu"))


@pytest.fixture
def workers(monkeypatch):
    """Let workers return certain results; return the folders that they worked in."""
    results, folders = [], []

    async def worker(job_spec, folder, limits):
        assert folder.is_dir()
        folders.append(folder)
        result = results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(jobs_module, "run_worker", worker)
    return results, folders


async def run(queue, *jobs):
    """Run jobs to their end, and return whether the queue was busy meanwhile."""
    with queue.slot() as slot:
        queue.begin(slot, jobs)
    busy = queue.busy
    for each in jobs:
        await each.wait(5)
    await queue._work
    return busy


def test_jobs_run_in_order_and_give_the_slot_back(workers):
    results, folders = workers
    results += [DONE, JobResult(answer={"n": 2})]

    async def scenario():
        queue = JobQueue(JobLimits())
        first, second = job("a", "profile"), job("b")
        assert not queue.busy
        assert await run(queue, first, second)
        assert not queue.busy
        assert (first.result.answer, second.result.answer) == ({"n": 1}, {"n": 2})
        assert (queue.find("b"), queue.find("c")) == (second, None)

    asyncio.run(scenario())
    assert folders[0] == folders[1]
    assert not folders[0].exists()


def test_jobs_that_need_a_failed_one_fail_as_well(workers):
    workers[0].append(FAILED)

    async def scenario():
        queue = JobQueue(JobLimits())
        first, second = job("a", "profile"), job("b")
        await run(queue, first, second)
        assert first.failed
        assert second.failed
        assert second.result.failure == "it crashed"

    asyncio.run(scenario())


def test_only_failed_jobs_run_again(workers):
    results, folders = workers
    results += [DONE, FAILED, DONE]

    async def scenario():
        queue = JobQueue(JobLimits())
        profile = job("a", "profile")
        await run(queue, profile, job("b"))
        again = job("b")
        with queue.slot() as slot:
            queue.begin(slot, [job("a", "profile"), again])
        await again.wait(5)
        assert again.result is DONE
        assert queue.find("a") is profile

    asyncio.run(scenario())
    assert len(folders) == 3


def test_the_slot_is_taken_once():
    async def scenario():
        queue = JobQueue(JobLimits())
        with queue.slot() as slot:
            assert queue.busy
            with pytest.raises(BusyError), queue.slot():
                pass
            assert queue.busy
            assert slot.folder.is_dir()
        assert not queue.busy  # no job was started
        assert not slot.folder.exists()
        with pytest.raises(KeyError), queue.slot():
            raise KeyError
        assert not queue.busy

    asyncio.run(scenario())


def test_the_last_results_are_kept(workers):
    workers[0].extend([DONE] * 4)

    async def scenario():
        queue = JobQueue(JobLimits(kept_results=2))
        for identity in "abc":
            await run(queue, job(identity))
        assert [queue.find(identity) is None for identity in "abc"] == [True, False, False]
        queue.forget(job("b"))  # another job of the same id is not the one that is kept
        assert queue.find("b") is not None
        queue.forget(queue.find("b"))
        assert queue.find("b") is None

    asyncio.run(scenario())


def test_a_machine_out_of_resources_is_a_failure(workers):
    workers[0].append(OSError(12, "Cannot allocate memory"))

    async def scenario():
        queue = JobQueue(JobLimits())
        failed = job("a")
        await run(queue, failed)
        assert "the agent's machine is out of resources: " in failed.result.failure
        assert not queue.busy

    asyncio.run(scenario())


def test_waiting_for_a_job_ends():
    async def scenario():
        waiting = job("a")
        await waiting.wait(0.01)
        assert not waiting.done.is_set()
        assert not waiting.failed

    asyncio.run(scenario())


def test_a_queue_that_is_closed_forgets_the_running_job(monkeypatch):
    # The profile before a measurement is done; its answer must not become the measurement's.
    started = asyncio.Event()

    async def worker(job_spec, folder, limits):
        if job_spec.kind == "measurement":
            started.set()
            await asyncio.sleep(60)
        return JobResult(answer={"kind": job_spec.kind})

    async def close_meanwhile():
        jobs = JobQueue(JobLimits())
        profile, measurement = job("p", "profile"), job("m")
        with jobs.slot() as slot:
            jobs.begin(slot, [profile, measurement])
        await started.wait()
        await jobs.close()
        return jobs, profile, measurement

    monkeypatch.setattr(jobs_module, "run_worker", worker)
    jobs, profile, measurement = asyncio.run(close_meanwhile())
    assert profile.result.answer == {"kind": "profile"}
    assert measurement.result is None
    assert jobs.find("m") is None
    assert measurement.done.is_set()
    assert jobs.busy  # for good


def test_results_are_kept_by_the_time_of_their_end(monkeypatch):
    # The profile before a measurement ends first, although a job of before is older.
    async def worker(job_spec, folder, limits):
        return DONE

    monkeypatch.setattr(jobs_module, "run_worker", worker)

    async def scenario():
        queue = JobQueue(JobLimits(kept_results=3))
        await run(queue, job("a"))
        await run(queue, job("p", "profile"), job("b"))
        assert [queue.find(identity) is not None for identity in "apb"] == [True] * 3
        await run(queue, job("c"))
        assert [queue.find(identity) is None for identity in "apbc"] == [True, False, False, False]
        # A job that is asked for again does not run again, and does not become younger.
        await run(queue, job("d"))
        assert [queue.find(identity) is None for identity in "pbcd"] == [True, False, False, False]

    asyncio.run(scenario())


def test_nothing_runs_in_a_queue_that_is_closed():
    async def scenario():
        queue = JobQueue(JobLimits())
        await queue.close()
        assert queue.busy
        with pytest.raises(BusyError), queue.slot():
            pass

    asyncio.run(scenario())


def test_how_long_a_job_took_is_logged(workers, monkeypatch, caplog):
    workers[0].extend([DONE, FAILED])
    clock = iter([100.0, 102.5, 200.0, 201.25])
    monkeypatch.setattr(jobs_module, "time", SimpleNamespace(monotonic=lambda: next(clock)))

    async def scenario():
        queue = JobQueue(JobLimits())
        for identity in ("0123456789abcdef", "f" * 64):
            job_of = job(identity)
            with queue.slot() as slot:
                queue.begin(slot, [job_of])
            await job_of.done.wait()

    with caplog.at_level("INFO", "nas.latency.agent.jobs"):
        asyncio.run(scenario())
    assert caplog.messages == [
        "measurement 0123456789ab: done in 2.5 s",
        f"measurement {'f' * 12}: failed after 1.2 s: it crashed",
    ]
