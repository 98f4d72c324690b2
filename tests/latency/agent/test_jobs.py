"""The queue of one, without a server and without processes."""

import asyncio

from nas.latency.agent import jobs as jobs_module
from nas.latency.agent.jobs import Job, JobQueue
from nas.latency.agent.messages import JobLimits, JobResult, JobSpec


def test_an_agent_that_stops_knows_nothing_of_what_it_was_doing(monkeypatch):
    # The profile before a measurement is done; its answer must not become the measurement's.
    started = asyncio.Event()

    async def worker(job_spec, folder, limits):
        if job_spec.kind == "measurement":
            started.set()
            await asyncio.sleep(60)
        return JobResult(answer={"kind": job_spec.kind})

    async def stop_amid():
        jobs = JobQueue(JobLimits())
        profile = Job("p", JobSpec("profile", "onnxruntime:cpu"))
        measurement = Job("m", JobSpec("measurement", "onnxruntime:cpu"))
        with jobs.slot() as slot:
            jobs.begin(slot, [profile, measurement])
        await started.wait()
        await jobs.close()
        return jobs, profile, measurement

    monkeypatch.setattr(jobs_module, "run_worker", worker)
    jobs, profile, measurement = asyncio.run(stop_amid())
    assert profile.result.answer == {"kind": "profile"}
    assert measurement.result is None
    assert jobs.find("m") is None
    assert measurement.done.is_set()
