"""The queue of one, without a server and without processes."""

import asyncio

from nas.latency.agent import jobs as jobs_module
from nas.latency.agent.jobs import Job, Jobs
from nas.latency.agent.messages import Limits, Order, Outcome


def test_an_agent_that_stops_knows_nothing_of_what_it_was_doing(monkeypatch):
    # The profile before a measurement is done; its answer must not become the measurement's.
    started = asyncio.Event()

    async def worker(order, folder, limits):
        if order.kind == "measurement":
            started.set()
            await asyncio.sleep(60)
        return Outcome(answer={"kind": order.kind})

    async def stop_amid():
        jobs = Jobs(Limits())
        profile = Job("p", Order("profile", "onnxruntime:cpu"))
        measurement = Job("m", Order("measurement", "onnxruntime:cpu"))
        with jobs.place() as place:
            jobs.begin(place, [profile, measurement])
        await started.wait()
        await jobs.close()
        return jobs, profile, measurement

    monkeypatch.setattr(jobs_module, "run_worker", worker)
    jobs, profile, measurement = asyncio.run(stop_amid())
    assert profile.outcome.answer == {"kind": "profile"}
    assert measurement.outcome is None
    assert jobs.find("m") is None
    assert measurement.done.is_set()
